"""Layers one after the other: in a loop or not, kept or run again on the way back."""

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
# weights of a task's own give them a batch axis too.
_PRODUCT = "product"


def named_product(x: jax.Array) -> jax.Array:
    """Marks a product with weights, which `remat="dots"` keeps."""
    return checkpoint_name(x, _PRODUCT)


def run_layers(
    x: jax.Array,
    layers: Sequence[tuple[LayerFn, Any]],
    *,
    layer_loop: LayerLoop = "auto",
    remat: Remat = "none",
) -> jax.Array:
    """Runs layers one after the other.

    Layers that follow each other are alike if they have the same function and
    arguments of the same shapes; those can become one loop over stacked arguments.

    Args:
      x: what the first layer reads.
      layers: pairs of `x = layer(x, own)` and the arguments `own`, such as
        parameters and key.
      layer_loop: "scan" makes loops, "unroll" none; "auto" makes loops of
        `MIN_SCANNED` layers and more, and wherever layers run again: in a loop of its
        own the second run cannot be merged with the first, which elsewhere takes
        barriers that XLA removes early on CPU.
      remat: what a backward pass finds kept of each layer, see `encoder`.

    Returns:
      What the last layer gives.
    """
    loops = layer_loop == "scan" or (
        layer_loop == "auto" and (len(layers) >= MIN_SCANNED or remat != "none")
    )
    for (layer, *_), alike in itertools.groupby(layers, _kind):
        owns = [own for _, own in alike]
        run = _looped if loops and len(owns) > 1 else _unrolled
        x = run(layer, remat, x, owns)
    return x


def _unrolled(
    layer: LayerFn, remat: Remat, x: jax.Array, owns: Sequence[Any]
) -> jax.Array:
    layer = _rematerialized(layer, remat, prevent_cse=True)
    for own in owns:
        x = layer(x, own)
    return x


def _looped(
    layer: LayerFn, remat: Remat, x: jax.Array, owns: Sequence[Any]
) -> jax.Array:
    # In a loop of its own there is nothing that the second run could be merged with.
    layer = _rematerialized(layer, remat, prevent_cse=False)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *owns)
    x, _ = jax.lax.scan(lambda x, own: (layer(x, own), None), x, stacked)
    return x


def _rematerialized(layer: LayerFn, remat: Remat, *, prevent_cse: bool) -> LayerFn:
    if remat == "none":
        return layer
    names = [_PRODUCT] if remat == "dots" else []
    policy = jax.checkpoint_policies.save_only_these_names(*names)
    return jax.checkpoint(layer, policy=policy, prevent_cse=prevent_cse)


def _kind(layer: tuple[LayerFn, Any]) -> Any:
    """What must agree for layers to be one loop; comparable."""
    fn, own = layer
    leaves, treedef = jax.tree.flatten(own)
    return fn, treedef, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
