"""Stacks of layers: unrolled or scanned, with or without rematerialisation."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

LayerLoop: TypeAlias = Literal["auto", "scan", "unroll"]
Remat: TypeAlias = Literal["none", "dots", "layers"]

LayerFn: TypeAlias = Callable[[jax.Array, Any], jax.Array]
CollectFn: TypeAlias = Callable[[jax.Array, Any], tuple[jax.Array, Any]]

# From here on a loop is the default. Unrolled layers run faster in half the memory,
# since they need no stacked copy of their parameters and gradients, but compile time
# grows with their number: at 30 layers it is 18 s instead of 6, with second derivatives
# 49 instead of 14.
MIN_SCANNED = 36

# The products with weights, by the name under which rematerialisation finds them. A
# policy on operations would take them for products of attention under `vmap`, where
# weights of each task give them a batch axis too.
_PRODUCT = "product"


def named_product(x: jax.Array) -> jax.Array:
    """Names a product with weights, which `remat="dots"` keeps."""
    return checkpoint_name(x, _PRODUCT)


def run_layers(
    x: jax.Array,
    layers: Sequence[tuple[LayerFn, Any]],
    *,
    layer_loop: LayerLoop = "auto",
    remat: Remat = "none",
) -> jax.Array:
    """Runs layers one after the other.

    Consecutive layers with the same function and arguments of the same shapes can
    become one loop over stacked arguments.

    Args:
      x: input of the first layer.
      layers: pairs of `x = layer(x, arguments)` and the arguments `arguments`, such as
        parameters and key.
      layer_loop: "scan" makes loops, "unroll" none; "auto" makes loops of
        `MIN_SCANNED` layers and more, and wherever layers are rematerialised: in a
        separate loop the second run cannot be merged with the first, which elsewhere
        takes barriers that XLA removes early on CPU.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      The output of the last layer.
    """

    @functools.cache
    def collecting(layer: LayerFn) -> CollectFn:
        """Returns a layer with an empty second output, the same for the same layer."""
        return lambda x, arguments: (layer(x, arguments), None)

    pairs = [(collecting(layer), arguments) for layer, arguments in layers]
    return run_and_collect(x, pairs, layer_loop=layer_loop, remat=remat)[0]


def run_and_collect(
    x: jax.Array,
    layers: Sequence[tuple[CollectFn, Any]],
    *,
    layer_loop: LayerLoop = "auto",
    remat: Remat = "none",
) -> tuple[jax.Array, list[Any]]:
    """Runs layers one after the other, and collects their second outputs.

    Args:
      x: input of the first layer.
      layers: as for `run_layers`, of layers `x, y = layer(x, arguments)`.
      layer_loop: as for `run_layers`.
      remat: as for `run_layers`.

    Returns:
      The output of the last layer, and the second output of each.
    """
    loops = layer_loop == "scan" or (
        layer_loop == "auto" and (len(layers) >= MIN_SCANNED or remat != "none")
    )
    collected = []
    for (layer, *_), alike in itertools.groupby(layers, _kind):
        all_arguments = [arguments for _, arguments in alike]
        run = _looped if loops and len(all_arguments) > 1 else _unrolled
        x, outputs = run(layer, remat, x, all_arguments)
        collected += outputs
    return x, collected


def _unrolled(
    layer: CollectFn, remat: Remat, x: jax.Array, all_arguments: Sequence[Any]
) -> tuple[jax.Array, list[Any]]:
    layer, outputs = _rematerialized(layer, remat, prevent_cse=True), []
    for arguments in all_arguments:
        x, output = layer(x, arguments)
        outputs.append(output)
    return x, outputs


def _looped(
    layer: CollectFn, remat: Remat, x: jax.Array, all_arguments: Sequence[Any]
) -> tuple[jax.Array, list[Any]]:
    # In a separate loop there is nothing that the second run could be merged with.
    layer = _rematerialized(layer, remat, prevent_cse=False)
    treedef = jax.tree.structure(all_arguments[0])
    columns = list(zip(*map(jax.tree.leaves, all_arguments), strict=True))
    # Weights that layers share are not stacked.
    same = [all(leaf is column[0] for leaf in column) for column in columns]
    stacked = [
        jnp.stack(column)
        for column, is_same in zip(columns, same, strict=True)
        if not is_same
    ]

    def step(x: jax.Array, unshared: Sequence[Any]) -> tuple[jax.Array, Any]:
        stacked_leaves = iter(unshared)
        leaves = [
            column[0] if is_same else next(stacked_leaves)
            for column, is_same in zip(columns, same, strict=True)
        ]
        return layer(x, jax.tree.unflatten(treedef, leaves))

    num = len(all_arguments)
    x, outputs = jax.lax.scan(step, x, stacked, length=num)
    return x, [jax.tree.map(lambda leaf, i=i: leaf[i], outputs) for i in range(num)]


def _rematerialized(layer: CollectFn, remat: Remat, *, prevent_cse: bool) -> CollectFn:
    if remat == "none":
        return layer
    names = [_PRODUCT] if remat == "dots" else []
    policy = jax.checkpoint_policies.save_only_these_names(*names)
    return jax.checkpoint(layer, policy=policy, prevent_cse=prevent_cse)


def _kind(layer: tuple[CollectFn, Any]) -> Any:
    """Returns a value that is equal for layers that can form one loop."""
    fn, arguments = layer
    leaves, treedef = jax.tree.flatten(arguments)
    return fn, treedef, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
