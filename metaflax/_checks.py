"""Checks of arguments of users: patterns, outputs, padding, results of losses."""

from typing import Any

import jax
import jax.numpy as jnp

from metaflax import base, tree
from metaflax.tree._selection import PathFilter

__all__ = [
    "check_class_outputs",
    "check_patterns",
    "check_real",
    "finite_padding",
    "narrowed",
    "with_aux",
]


def finite_padding(batch: base.Batch) -> base.Batch:
    """Replaces non-finite numbers in rows of weight 0 by zeros.

    They have no part in any sum, yet 0 times a NaN is a NaN, in derivatives too.
    """
    if batch.weights is None:
        return batch
    weights = jnp.asarray(batch.weights)

    def finite(x: Any) -> Any:
        is_row = jnp.ndim(x) and jnp.shape(x)[0] == weights.shape[0]
        if not is_row or not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        padding = (weights == 0).reshape(-1, *[1] * (x.ndim - 1))
        return jnp.where(padding & ~jnp.isfinite(x), 0, x)

    inputs, targets = jax.tree.map(finite, (batch.inputs, batch.targets))
    return batch._replace(inputs=inputs, targets=targets)


def check_class_outputs(outputs: Any) -> None:
    """Raises ValueError if outputs have no logits with a mask of classes."""
    if hasattr(outputs, "logits") and hasattr(outputs, "mask"):
        return
    raise ValueError(
        f"the outputs of the model are a {type(outputs).__name__}, and losses and"
        " metrics of classes take logits [U, N] with a mask [N] of the classes in the"
        " support set; take a head, or wrap the logits: base.ClassOutputs(logits,"
        " jnp.ones(N, bool))."
    )


def with_aux(result: Any) -> tuple[jax.Array, Any]:
    """Returns the value of a loss and its auxiliary output, `()` if it has none."""
    if not isinstance(result, tuple):
        return result, ()
    if len(result) != 2:
        raise ValueError(
            f"a loss returned a tuple of {len(result)}; return a scalar, or a pair of a"
            " scalar and any tree of arrays."
        )
    value, aux = result
    return value, aux


def narrowed(spec: tree.Where, to: PathFilter) -> PathFilter:
    """Restricts a filter to paths that `to` selects too."""
    selected = tree.where(spec)
    filter_: Any = lambda path: selected(path) and to(path)  # noqa: E731
    filter_.patterns = getattr(selected, "patterns", ())
    return filter_


def check_patterns(name: str, spec: tree.Where, *trees: Any) -> None:
    """Refuses a pattern that matches no leaf of any tree, `!` patterns included.

    Args:
      name: what takes the patterns, for the message.
      spec: as for `where`; a function is not checked.
      *trees: trees of parameters; None counts as a leaf that was left out.

    Raises:
      ValueError: with the pattern and some of the paths there are.

    Examples:
      >>> params = {"encoder": jnp.ones(1)}
      >>> check_patterns("adapts", ["*", "!encoder/embedings"], params)
      Traceback (most recent call last):
      ValueError: the pattern '!encoder/embedings' of adapts matches no parameter; \
compare it with tree.paths(params), such as encoder.
    """
    known = [path for each in trees for path in _paths_and_gaps(each)]
    for pattern in getattr(tree.where(spec), "patterns", ()):
        if not any(map(tree.where(pattern.removeprefix("!")), known)):
            some = ", ".join(known[:4]) or "none"
            raise ValueError(
                f"the pattern {pattern!r} of {name} matches no parameter; compare it"
                f" with tree.paths(params), such as {some}."
            )


def check_real(role: str, params: Any) -> None:
    """Refuses complex parameters, whose gradient is no direction of descent.

    Args:
      role: verb phrase for the message, such as `adapts`.
      params: the parameters with that role.

    Raises:
      ValueError: with the path of the first complex parameter.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jnp.iscomplexobj(leaf):
            raise ValueError(
                f"the parameter {tree.path_name(path)} {role} and is {leaf.dtype};"
                " gradients are taken of real numbers, so keep its real and imaginary"
                " parts as two parameters, or choose other parameters."
            )


def _paths_and_gaps(params: Any) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(params, is_leaf=lambda x: x is None)
    return [tree.path_name(path) for path, _ in leaves]
