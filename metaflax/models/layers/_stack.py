"""Stacks of layers: unrolled or scanned, with or without rematerialisation."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

LayerLoop: TypeAlias = Literal["auto", "scan", "unroll"]
Remat: TypeAlias = Literal["none", "dots", "layers"]

LayerFn: TypeAlias = Callable[[jax.Array, Any], jax.Array]

# From here on a loop is the default. Unrolled layers run faster, since they need no
# stacked copy of their parameters, but what has to be compiled for a second derivative
# grows with their number in time and memory.
MIN_SCANNED = 24

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
    loops = layer_loop == "scan" or (
        layer_loop == "auto" and (len(layers) >= MIN_SCANNED or remat != "none")
    )
    for (layer, *_), alike in itertools.groupby(layers, _kind):
        all_arguments = [arguments for _, arguments in alike]
        run = _looped if loops and len(all_arguments) > 1 else _unrolled
        x = run(layer, remat, x, all_arguments)
    return x


def _unrolled(
    layer: LayerFn, remat: Remat, x: jax.Array, all_arguments: Sequence[Any]
) -> jax.Array:
    layer = _rematerialized(layer, remat, prevent_cse=True)
    for arguments in all_arguments:
        x = layer(x, arguments)
    return x


def _looped(
    layer: LayerFn, remat: Remat, x: jax.Array, all_arguments: Sequence[Any]
) -> jax.Array:
    # In a separate loop there is nothing that the second run could be merged with.
    layer = _rematerialized(layer, remat, prevent_cse=False)
    treedef = jax.tree.structure(all_arguments[0])
    columns = list(zip(*map(jax.tree.leaves, all_arguments), strict=True))
    # Weights that layers share are no copies of themselves.
    same = [all(leaf is column[0] for leaf in column) for column in columns]
    stacked = [
        jnp.stack(column) for column, one in zip(columns, same, strict=True) if not one
    ]

    def step(x: jax.Array, own: Sequence[Any]) -> tuple[jax.Array, None]:
        rest = iter(own)
        leaves = [
            column[0] if one else next(rest)
            for column, one in zip(columns, same, strict=True)
        ]
        return layer(x, jax.tree.unflatten(treedef, leaves)), None

    x, _ = jax.lax.scan(step, x, stacked, length=len(all_arguments))
    return x


def _rematerialized(layer: LayerFn, remat: Remat, *, prevent_cse: bool) -> LayerFn:
    if remat == "none":
        return layer
    names = [_PRODUCT] if remat == "dots" else []
    policy = jax.checkpoint_policies.save_only_these_names(*names)
    return jax.checkpoint(layer, policy=policy, prevent_cse=prevent_cse)


def _kind(layer: tuple[LayerFn, Any]) -> Any:
    """Returns what must agree for layers to be one loop; comparable."""
    fn, arguments = layer
    leaves, treedef = jax.tree.flatten(arguments)
    return fn, treedef, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
