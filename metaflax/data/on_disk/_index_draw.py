"""Sampling of episodes from an inverted index: names first, then rows of each."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from metaflax.data.on_disk._postings import Postings
from metaflax.data.on_disk._text_index import Kind, TextIndex
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import text_key

# Whether a text may serve as an example of a name in an episode of several.
Fits: TypeAlias = Callable[[str, str, frozenset[str]], bool]

# Number of draws tried until one has enough texts.
_TRIES = 100
# Candidate texts for each one needed.
CANDIDATES = 4


@dataclasses.dataclass(frozen=True)
class IndexDraw:
    """Draws names of postings, then rows of each.

    Attributes:
      index: the indexed texts.
      kind: kind of names to draw.
      groups: numbers of names that may occur in the same episode.
      way: minimum and maximum number of names per episode.
      shot: minimum and maximum number of support rows per name.
      queries: minimum and maximum number of query rows per name.
      fits: `fits(text, name, names)`, whether a text may serve as an example of a
        name in an episode of `names`.
    """

    index: TextIndex
    kind: Kind
    groups: tuple[np.ndarray, ...]
    way: _pools.Range
    shot: _pools.Range
    queries: _pools.Range
    fits: Fits

    @property
    def postings(self) -> Postings:
        return self.index.postings(self.kind)

    @property
    def sizes(self) -> EpisodeSizes:
        way = self.way[1]
        return EpisodeSizes(way, way * self.shot[1], way * self.queries[1])

    def episode(self, seed: int, index: int) -> Episode:
        rng = _pools.generator(seed, index)
        shot, queries = (_pools.uniform(rng, *r) for r in (self.shot, self.queries))
        for _ in range(_TRIES):
            group = self.groups[_pools.uniform(rng, 0, len(self.groups) - 1)]
            way = _pools.uniform(rng, *self.way)
            classes = group[rng.choice(len(group), way, replace=False)]
            drawn = self._rows(rng, classes.tolist(), shot + queries)
            if drawn is not None:
                break
        else:
            raise ValueError(
                f"{self.index.path}: {_TRIES} draws found no episode of"
                f" {shot + queries} different texts a class; add text, or lower way,"
                " shot or queries."
            )
        self.index.release()
        local = np.arange(way, dtype=np.int32)
        return Episode(
            classes=tuple(classes.tolist()),
            domain=None,
            support=drawn[:, :shot].ravel(),
            support_targets=local.repeat(shot),
            query=drawn[:, shot:].ravel(),
            query_targets=local.repeat(queries),
        )

    def _rows(
        self, rng: np.random.Generator, numbers: list[int], num_rows: int
    ) -> np.ndarray | None:
        """Draws rows of each name, `[way, num_rows]`; None if texts are too few."""
        postings = self.postings
        names = [postings.names[number] for number in numbers]
        together, seen = frozenset(names), set()
        drawn = np.zeros((len(numbers), num_rows), np.int32)
        for place, (number, name) in enumerate(zip(numbers, names, strict=True)):
            rows = postings.rows(number)
            size = min(len(rows), CANDIDATES * num_rows)
            count = 0
            for row in rows[rng.choice(len(rows), size, replace=False)].tolist():
                text = self.index.text(row)
                key = text_key(text)
                if key not in seen and self.fits(text, name, together):
                    seen.add(key)
                    drawn[place, count] = row
                    count += 1
                    if count == num_rows:
                        break
            else:
                return None
        return drawn


def checked_draw(
    index: TextIndex,
    kind: Kind,
    groups: Sequence[np.ndarray],
    sizes: tuple[_pools.Count, _pools.Count, _pools.Count],
    fits: Fits,
) -> IndexDraw:
    """Makes an `IndexDraw`, having checked that it has enough texts.

    Raises:
      ValueError: if a group has too few names, or a name too few texts.
    """
    counts = index.postings(kind).counts
    way = _pools.count_range("way", sizes[0], 2)
    shot = _pools.count_range("shot", sizes[1], 1)
    queries = _pools.count_range("queries", sizes[2], 1)
    needed = shot[1] + queries[1]
    smallest = min(map(len, groups), default=0)
    if smallest < way[1]:
        raise ValueError(
            f"{index.path}: {len(groups)} groups, of which the smallest has"
            f" {smallest} classes, cannot make an episode of {way[1]}; lower way, or"
            " make larger groups."
        )
    counts = counts[np.concatenate(groups)]
    if counts.min() < needed:
        scarce = int((counts < needed).sum())
        raise ValueError(
            f"{index.path}: an episode takes {needed} texts of a class, and {scarce} of"
            f" {len(counts)} classes have fewer; leave them out, or lower shot or"
            " queries."
        )
    return IndexDraw(index, kind, tuple(groups), way, shot, queries, fits)
