"""Marks of parametrised tests."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(values: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """Returns all values, and marks those that are not in `kept` as slow."""
    return [
        value if value in kept else pytest.param(value, marks=pytest.mark.slow)
        for value in values
    ]
