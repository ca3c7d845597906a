"""Intervals of scores by name, and of their paired differences."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from metaflax import evaluation

# The method that others are compared with.
OURS = "meta-trained"
Intervals: TypeAlias = dict[str, evaluation.Interval]


def mean_intervals(scores: Mapping[str, np.ndarray]) -> Intervals:
    """Computes intervals of the means of scores `[E]`."""
    return {name: evaluation.mean_interval(x) for name, x in scores.items()}


def paired_intervals(
    base: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> Intervals:
    """Computes intervals of the paired differences of scores, other less base."""
    return {
        name: evaluation.paired_interval(base[name], x) for name, x in other.items()
    }


def plain_intervals(methods: Mapping[str, Intervals]) -> dict[str, dict[str, Any]]:
    """Converts the intervals of each method to JSON objects."""
    return {
        method: {name: interval._asdict() for name, interval in intervals.items()}
        for method, intervals in methods.items()
    }
