"""Support sets and queries that all output layers are compared on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Maximum number of queries: of each class, and of a draw with natural frequencies.
NUM_QUERIES, MOST_QUERIES = 20, 500
# Maximum number of texts of a class in a support set of unequal classes.
MOST_SHOT = 16
# Labelled texts of a draw with natural frequencies, besides one of each class.
RANDOM_TEXTS = 40

UNEQUAL, AS_FREQUENT = "1 to 16", "1 + as frequent"


class Draw(NamedTuple):
    """A task: labelled texts, and texts to predict with their labels."""

    support: list[str]
    labels: list[str]
    queries: list[str]
    targets: list[str]


def draw(
    texts: Mapping[str, Sequence[str]], shot: int | str, seed: int, most_classes: int
) -> Draw:
    """Samples classes, support set and queries.

    Args:
      texts: texts by class.
      shot: texts of each class; or `UNEQUAL`, numbers from 1 to 16 in geometric
        progression, dealt to the classes at random; or `AS_FREQUENT`, one of each class
        and 40 of all texts at random, with queries drawn from all texts too. The
        others have equally many queries of each class.
      seed: seed of the draw.
      most_classes: maximum number of classes, sampled at random.
    """
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(sorted(texts))[:most_classes]]
    rows = {n: [texts[n][i] for i in rng.permutation(len(texts[n]))] for n in names}
    if shot == AS_FREQUENT:
        return _as_frequent(rows, rng)
    sizes = np.full(len(names), shot if isinstance(shot, int) else 0)
    if shot == UNEQUAL:
        steps = np.arange(len(names)) / (len(names) - 1)
        sizes = rng.permutation(np.round(MOST_SHOT**steps).astype(int))
    support = {n: rows[n][:size] for n, size in zip(names, sizes, strict=True)}
    queries = {
        n: rows[n][size : size + NUM_QUERIES]
        for n, size in zip(names, sizes, strict=True)
    }
    return Draw(*_flat(support), *_flat(queries))


def _as_frequent(rows: Mapping[str, list[str]], rng: np.random.Generator) -> Draw:
    rest = [(text, name) for name in rows for text in rows[name][1:]]
    rest = [rest[i] for i in rng.permutation(len(rest))]
    drawn, queries = rest[:RANDOM_TEXTS], rest[RANDOM_TEXTS:][:MOST_QUERIES]
    support = [*((rows[name][0], name) for name in rows), *drawn]
    return Draw(
        *map(list, zip(*support, strict=True)), *map(list, zip(*queries, strict=True))
    )


def _flat(rows: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    pairs = [(text, name) for name in rows for text in rows[name]]
    return [text for text, _ in pairs], [name for _, name in pairs]
