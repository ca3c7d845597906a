"""Values that were given, in contrast to those left to a default."""

import dataclasses
from typing import Any, TypeVar

S = TypeVar("S")


def given(**values: Any) -> dict[str, Any]:
    """Returns the values that are not None.

    Examples:
      >>> given(head="ridge", strength=None)
      {'head': 'ridge'}
    """
    return {name: value for name, value in values.items() if value is not None}


def with_given(settings: S, **values: Any) -> S:
    """Returns settings, of a dataclass, with the values that are not None.

    Examples:
      >>> from metaflax import config
      >>> settings = config.AlgorithmConfig("frozen", strength=2.0)
      >>> changed = with_given(settings, head="ridge", strength=None)
      >>> changed.head, changed.strength
      ('ridge', 2.0)
    """
    return dataclasses.replace(settings, **given(**values))  # pyright: ignore
