"""Lookup of names in open registries: known names and import paths."""

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

__all__ = ["resolve"]


def resolve(kind: str, table: Mapping[str, _T], name: str) -> _T:
    """Looks up a name in a registry, or imports what an import path names.

    Args:
      kind: noun for error messages, such as `algorithm`.
      table: the registry, by name.
      name: a key of `table`, or an import path `package.module:attribute`. Every name
        with a colon is taken as an import path.

    Returns:
      The entry of the table, or the imported attribute.

    Raises:
      ValueError: if the name is unknown or the import fails.

    Examples:
      >>> resolve("number", {"one": 1}, "one")
      1
      >>> resolve("number", {"one": 1}, "math:pi")
      3.141592653589793
      >>> resolve("number", {"one": 1}, "two")
      Traceback (most recent call last):
      ValueError: unknown number 'two'; known: one, or an import path such as \
package.module:attribute.
    """
    if name in table:
        return table[name]
    if ":" in name:
        return _imported(kind, name)
    raise ValueError(
        f"unknown {kind} {name!r}; known: {', '.join(table)}, or an import path such as"
        " package.module:attribute."
    )


def _imported(kind: str, path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        value = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except Exception as error:  # A module may fail in any way while it is imported.
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ValueError(
            f"the {kind} {path!r} cannot be imported: {type(error).__name__}: {reason}."
        ) from error
    return value
