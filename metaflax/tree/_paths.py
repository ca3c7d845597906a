"""Leaves of trees by their paths."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """Joins the keys of a path by slashes.

    Args:
      path: a key path, as `jax.tree_util` gives it.

    Returns:
      The path's name, such as `encoder/layer_0/bias`.

    Examples:
      >>> import jax
      >>> from metaflax import tree
      >>> params = {"encoder": {"layers": [1, 2]}}
      >>> leaves = jax.tree_util.tree_leaves_with_path(params)
      >>> [tree.path_name(path) for path, leaf in leaves]
      ['encoder/layers/0', 'encoder/layers/1']
    """
    return jax.tree_util.keystr(path, simple=True, separator="/")


def leaf(tree: Any, path: str) -> Any:
    """Returns the leaf at a path.

    Args:
      tree: a tree of arrays.
      path: the leaf's path.

    Returns:
      The leaf.

    Raises:
      ValueError: if there is no leaf at the path; the message lists some of the paths.

    Examples:
      >>> from metaflax import tree
      >>> params = {"encoder": {"kernel": 2}}
      >>> tree.leaf(params, "encoder/kernel")
      2
      >>> tree.leaf(params, "encoder/scale")
      Traceback (most recent call last):
        ...
      ValueError: there is no leaf 'encoder/scale'; there is ['encoder/kernel'], ...
    """
    for here, value in jax.tree_util.tree_leaves_with_path(tree):
        if path_name(here) == path:
            return value
    raise ValueError(f"there is no leaf {path!r}; there is {paths(tree)[:4]}, ...")


def update(tree: Any, path: str | None, fn: Callable[[Any], Any]) -> Any:
    """Applies a function to the leaf at a path, if there is one.

    Args:
      tree: a tree of arrays.
      path: the leaf's path; None for no leaf.
      fn: the function.

    Returns:
      The tree, with the function's result at the path.

    Examples:
      >>> from metaflax.tree import update
      >>> update({"a": 1, "b": 2}, "b", lambda x: x + 40)
      {'a': 1, 'b': 42}
    """
    return jax.tree_util.tree_map_with_path(
        lambda here, leaf: fn(leaf) if path_name(here) == path else leaf, tree
    )


def take_rows(tree: Any, path: str | None, rows: Any) -> Any:
    """Takes rows of the leaf at a path; zeros for rows beyond its last."""
    return update(tree, path, lambda x: x.at[rows].get(mode="fill", fill_value=0))


def nested(path: str, leaf: Any) -> dict[str, Any]:
    """Builds the tree of dictionaries that holds one leaf, at a path."""
    return functools.reduce(
        lambda below, name: {name: below}, reversed(path.split("/")), leaf
    )


def paths(tree: Any) -> list[str]:
    """Lists the path of every leaf, in tree order.

    Args:
      tree: a tree of arrays.

    Returns:
      The paths.

    Examples:
      >>> from metaflax.tree import paths
      >>> paths({"encoder": {"kernel": 1, "bias": 2}, "head": 3})
      ['encoder/bias', 'encoder/kernel', 'head']
    """
    return [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)]


def is_empty(tree: Any) -> bool:
    """Returns whether a tree has no leaf."""
    return not jax.tree.leaves(tree)
