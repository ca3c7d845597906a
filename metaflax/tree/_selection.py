"""Selection of leaves by patterns of their paths."""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from metaflax.tree._paths import path_name

PathFilter: TypeAlias = Callable[[str], bool]


Where: TypeAlias = str | Sequence[str] | PathFilter


def everything(path: str) -> bool:
    """Selects every leaf.

    Args:
      path: path of a leaf.

    Returns:
      True.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import tree
      >>> params = {"bias": jnp.ones(2), "steps": jnp.array(3)}
      >>> tree.paths(tree.select(params, tree.everything))  # Floats alone adapt.
      ['bias']
    """
    del path
    return True


def nothing(path: str) -> bool:
    """Selects no leaf.

    Args:
      path: path of a leaf.

    Returns:
      False.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import tree
      >>> params = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
      >>> tree.paths(tree.select(params, tree.nothing))
      []
    """
    del path
    return False


def where(spec: Where) -> PathFilter:
    """Returns a filter from glob patterns, or the filter itself.

    Args:
      spec: a pattern or several, of which one must match; a pattern matches a
        path or a whole leading part of it, `*` stands for any text, slashes
        included, and a leading `!` excludes paths that an earlier pattern matched.

    Returns:
      A predicate on slash-joined paths.

    Examples:
      >>> from metaflax.tree import where
      >>> selected = where(["encoder", "!encoder/embeddings"])
      >>> selected("encoder/layer_0/kernel"), selected("encoder/embeddings/word")
      (True, False)
    """
    if callable(spec):
        return spec
    patterns = [spec] if isinstance(spec, str) else list(spec)

    def matches(path: str) -> bool:
        selected = False
        for pattern in patterns:
            positive, glob = not pattern.startswith("!"), pattern.removeprefix("!")
            if fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(
                path, glob + "/*"
            ):
                selected = positive
        return selected

    filter_: Any = matches
    filter_.patterns = tuple(patterns)
    return filter_


def select(tree: Any, spec: Where) -> Any:
    """Keeps the float leaves of a tree whose path is selected; None elsewhere.

    Args:
      tree: a tree of arrays.
      spec: which leaves, by their paths; see `where`.

    Returns:
      The tree with None in place of all other leaves.

    Raises:
      ValueError: if a leaf is no array.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import tree
      >>> encoder = {"bias": jnp.ones(1), "kernel": jnp.ones(1)}
      >>> params = {"encoder": encoder, "head": jnp.ones(1)}
      >>> tree.paths(tree.select(params, ["encoder", "!*/bias"]))
      ['encoder/kernel']
    """
    selected = where(spec)

    def keep(path: tuple[Any, ...], leaf: Any) -> Any:
        is_float = jnp.issubdtype(_dtype_of(path, leaf), jnp.inexact)
        return leaf if is_float and selected(path_name(path)) else None

    return jax.tree_util.tree_map_with_path(keep, tree)


def _dtype_of(path: tuple[Any, ...], leaf: Any) -> Any:
    """Returns the type of an array, or refuses a leaf that is none."""
    if hasattr(leaf, "dtype"):
        return leaf.dtype
    raise ValueError(
        f"the leaf {path_name(path) or '(top)'} of the parameters is {leaf!r}, a"
        f" {type(leaf).__name__}, and parameters are arrays; convert numbers by"
        " jnp.asarray, and keep functions and settings of a module out of the"
        " parameters, as equinox.partition(module, equinox.is_array) does."
    )


def partition(tree: Any, spec: Where) -> tuple[Any, Any]:
    """Splits a tree into what is selected and the rest, each None elsewhere.

    Args:
      tree: a tree of arrays.
      spec: which leaves, by their paths; see `where`.

    Returns:
      The selected leaves, and all others; `merge` joins them again.

    Raises:
      ValueError: if a leaf is no array.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import tree
      >>> params = {"encoder": jnp.ones(1), "head": jnp.zeros(1)}
      >>> trained, frozen = tree.partition(params, "head")
      >>> tree.paths(trained), tree.paths(frozen)
      (['head'], ['encoder'])
      >>> tree.paths(tree.merge(trained, frozen))
      ['encoder', 'head']
    """
    selected = select(tree, spec)
    rest = jax.tree.map(
        lambda leaf, selected_leaf: leaf if selected_leaf is None else None,
        tree,
        selected,
        is_leaf=lambda x: x is None,
    )
    return selected, rest


def zero(tree: Any, spec: Where) -> Any:
    """Replaces the leaves that `spec` selects by zeros."""
    selected = where(spec)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if selected(path_name(path)) else leaf,
        tree,
    )


def merge(*trees: Any) -> Any:
    """Merges trees of one structure: the first leaf that is not None.

    Args:
      *trees: trees that `partition` made, or others of the same structure.

    Returns:
      The merged tree.

    Examples:
      >>> from metaflax.tree import merge
      >>> merge({"a": 1, "b": None}, {"a": None, "b": 2})
      {'a': 1, 'b': 2}
    """

    def first(*leaves: Any) -> Any:
        return next((leaf for leaf in leaves if leaf is not None), None)

    return jax.tree.map(first, *trees, is_leaf=lambda x: x is None)
