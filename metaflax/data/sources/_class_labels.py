"""Names of classes that a data set stores as numbers (`datasets.ClassLabel`)."""

from collections.abc import Mapping
from typing import Any


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the class names of the columns of class numbers, or of lists of them."""
    inner = {
        column: getattr(feature, "feature", feature)
        for column, feature in features.items()
    }
    return {
        column: list(names)
        for column, feature in inner.items()
        if (names := getattr(feature, "names", None))
    }


def named(value: Any, names: list[str]) -> Any:
    """Returns the name of a class number, None for an unknown one; also of lists."""
    if isinstance(value, list):
        return [named(v, names) for v in value]
    # Other numbers, by convention -1, mean that the label is unknown.
    known = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known else None
