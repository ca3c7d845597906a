"""Type checks of the values of settings."""

import dataclasses
import numbers
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

# Beyond it no array could hold a number.
_LARGEST = 2**63


def misfits(config: Any) -> list[str]:
    """Lists the settings of a config whose values are not of the annotated type.

    Examples:
      >>> from metaflax.config import Config, EpisodeConfig
      >>> misfits(Config(episodes=EpisodeConfig(way="many")))
      ["episodes.way is 'many', which is no int | tuple[int, int]"]
    """
    return list(_misfits("", type(config), config))


def _misfits(name: str, kind: Any, value: Any) -> Iterator[str]:
    if not fits(kind, value):
        yield f"{name} is {value!r:.60}, which is no {type_name(kind)}"
    elif dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        for field in dataclasses.fields(value):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _misfits(inner, hints[field.name], getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _misfits(f"{name}.{key}", type(item), item)


def type_name(kind: Any) -> str:
    """Formats a type for error messages.

    Examples:
      >>> type_name(tuple[int, ...] | None)
      'tuple[int, ...] | None'
      >>> print(type_name(typing.Literal["a", "b"] | None))
      'a' | 'b' | None
    """
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " | ".join(map(repr, of))
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(type_name, of))
    if kind is types.NoneType:
        return "None"
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return name.replace("typing.", "")


def fits(kind: Any, value: Any) -> bool:
    """Returns whether a value, of a setting or a group of settings, is of a type."""
    if kind is Any:
        return True
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(fits(one, value) for one in of)
    if origin is typing.Literal:
        return isinstance(value, str) and value in of
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        each = of[:1] * len(value) if of[-1] is ... else of
        return len(each) == len(value) and all(map(fits, each, value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(of[0], name) and fits(of[1], item) for name, item in value.items()
        )
    if kind is float and isinstance(value, numbers.Real):
        return not isinstance(value, numbers.Integral) or fits(int, value)
    if kind is int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and abs(int(value)) < _LARGEST
    return isinstance(value, kind)
