"""Leaves of trees by their paths."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """The slash-joined name of a key path as `jax.tree_util` gives it."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def leaf(tree: Any, path: str) -> Any:
    """Returns the leaf at a path.

    Raises:
      ValueError: if there is none, with some of those there are.
    """
    for here, value in jax.tree_util.tree_leaves_with_path(tree):
        if path_name(here) == path:
            return value
    raise ValueError(f"there is no leaf {path!r}; there is {paths(tree)[:4]}, ...")


def update(tree: Any, path: str | None, fn: Callable[[Any], Any]) -> Any:
    """Applies `fn` to the leaf at a path, if there is one."""
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
    """Lists the path of every leaf, in tree order."""
    return [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)]


def is_empty(tree: Any) -> bool:
    """True where a tree has no leaf."""
    return not jax.tree.leaves(tree)
