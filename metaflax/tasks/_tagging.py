"""Tagging schemes: entities as classes of words.

A scheme defines the classes that distinguish N types. One more class, the last, is O,
that of words in no entity, which is not part of the scheme.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metaflax.tasks._entity_spans import Run


class Tagging(NamedTuple):
    """Tagging scheme: conversion between entities and classes of words.

    C counts the classes, O included as the last, and W words.

    Attributes:
      tags: `names = tags(types)`, names of the C - 1 classes that distinguish types.
      encode: `classes = encode(runs, num_words, num_types)`, int32 `[W]`, of disjoint
        runs.
      decode: `runs = decode(classes, num_types)`, of any classes `[W]`.
      transitions: `start, allowed = transitions(num_types)`: which classes the first
        word may have, bool `[C]`, and which may follow which, bool `[C, C]`.

    Examples:
      >>> classes = BIO.encode([Run(0, 2, 1), Run(2, 3, 1)], num_words=4, num_types=2)
      >>> print(BIO.tags(["a", "b"]), classes)
      ('B-a', 'I-a', 'B-b', 'I-b') [2 3 2 4]
      >>> BIO.decode(classes, num_types=2)
      (Run(start=0, end=2, type=1), Run(start=2, end=3, type=1))
      >>> IO.decode(IO.encode([Run(0, 2, 1), Run(2, 3, 1)], 4, 2), 2)
      (Run(start=0, end=3, type=1),)
    """

    tags: Callable[[Sequence[str]], tuple[str, ...]]
    encode: Callable[[Iterable[Run], int, int], np.ndarray]
    decode: Callable[[np.ndarray, int], tuple[Run, ...]]
    transitions: Callable[[int], tuple[np.ndarray, np.ndarray]]


def _io_tags(types: Sequence[str]) -> tuple[str, ...]:
    return tuple(types)


def _io_encode(runs: Iterable[Run], num_words: int, num_types: int) -> np.ndarray:
    classes = np.full(num_words, num_types, np.int32)
    for start, end, number in runs:
        classes[start:end] = number
    return classes


def _io_decode(classes: np.ndarray, num_types: int) -> tuple[Run, ...]:
    classes = np.asarray(classes)
    return _runs(
        np.where(classes < num_types, classes, -1), np.zeros(len(classes), bool)
    )


def _io_transitions(num_types: int) -> tuple[np.ndarray, np.ndarray]:
    num_classes = num_types + 1
    return np.ones(num_classes, bool), np.ones((num_classes, num_classes), bool)


def _bio_tags(types: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{part}-{name}" for name in types for part in "BI")


def _bio_encode(runs: Iterable[Run], num_words: int, num_types: int) -> np.ndarray:
    classes = np.full(num_words, 2 * num_types, np.int32)
    for start, end, number in runs:
        classes[start:end] = 2 * number + 1
        classes[start] = 2 * number
    return classes


def _bio_decode(classes: np.ndarray, num_types: int) -> tuple[Run, ...]:
    classes = np.asarray(classes)
    types = np.where(classes < 2 * num_types, classes // 2, -1)
    return _runs(types, classes % 2 == 0)


def _bio_transitions(num_types: int) -> tuple[np.ndarray, np.ndarray]:
    num_classes = 2 * num_types + 1
    inside = np.arange(1, num_classes, 2)
    start = np.ones(num_classes, bool)
    start[inside] = False
    allowed = np.ones((num_classes, num_classes), bool)
    allowed[:, inside] = False
    allowed[inside - 1, inside] = allowed[inside, inside] = True
    return start, allowed


def _runs(types: np.ndarray, begins: np.ndarray) -> tuple[Run, ...]:
    """Runs of words of one type, -1 for none; a word that begins is a run's first."""
    if not len(types):
        return ()
    divided = (types[1:] != types[:-1]) | begins[1:]  # Between two words.
    starts = np.flatnonzero(np.append(True, divided) & (types >= 0))
    ends = np.flatnonzero(np.append(divided, True) & (types >= 0)) + 1
    rows = zip(starts.tolist(), ends.tolist(), types[starts].tolist(), strict=True)
    return tuple(Run(*row) for row in rows)


IO = Tagging(_io_tags, _io_encode, _io_decode, _io_transitions)
"""One class a type; entities of one type that touch become one.

The scheme of few-shot work, since support sets are too small to tell beginnings apart:
Yang and Katiyar, 2020, arXiv 2010.02405; Ding et al., 2021, arXiv 2105.07464.
"""

BIO = Tagging(_bio_tags, _bio_encode, _bio_decode, _bio_transitions)
"""Two classes a type, the first word of an entity and those inside.

Decoding takes an inside word without a predecessor for a beginning, as conlleval does.
"""
