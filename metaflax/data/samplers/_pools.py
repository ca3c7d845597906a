"""Pools to sample episodes from: the classes of each domain and their examples."""

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

import numpy as np

from metaflax._wording import see
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.data.sources._examples import Examples

Count: TypeAlias = int | tuple[int, int]
Range: TypeAlias = tuple[int, int]


class Pool(NamedTuple):
    """The drawable classes of one domain.

    Attributes:
      domain: index into `domain_names`, or None.
      classes: global ids `[C]`.
      members: for each class the indices of its examples with distinct texts.
    """

    domain: int | None
    classes: np.ndarray
    members: tuple[np.ndarray, ...]


class Draw(NamedTuple):
    """The classes and counts of an episode, and the generator for its examples."""

    pool: Pool
    rng: np.random.Generator
    classes: np.ndarray  # [way], indices into the pool's classes.
    shot: int
    queries: int


class Pools(NamedTuple):
    """The pools of all domains, and the ranges of way, shot and queries."""

    pools: tuple[Pool, ...]
    way: Range
    shot: Range
    queries: Range

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        way = self.way[1]
        return EpisodeSizes(way, way * self.shot[1], way * self.queries[1])

    def draw(self, seed: int, index: int) -> Draw:
        """Samples domain, classes, shot and queries of one episode, uniformly."""
        rng = generator(seed, index)
        pool = self.pools[uniform(rng, 0, len(self.pools) - 1)]
        way = uniform(rng, *self.way)
        shot = uniform(rng, *self.shot)
        queries = uniform(rng, *self.queries)
        classes = rng.choice(len(pool.classes), way, replace=False)
        return Draw(pool, rng, classes, shot, queries)


def build(examples: Examples, way: Count, shot: Count, queries: Count) -> Pools:
    """Groups examples by domain and class, and checks that there are enough.

    Raises:
      ValueError: if a count is out of range, or a domain has too few classes or a class
        too few texts.
    """
    pools = Pools(
        _pools(examples),
        count_range("way", way, 2),
        count_range("shot", shot, 1),
        count_range("queries", queries, 1),
    )
    _check(examples, pools)
    return pools


def generator(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """Creates the random generator of one episode, in one of several streams.

    Raises:
      ValueError: if `seed` or `index` is not in 0 to `2**64 - 1`.
    """
    if not (0 <= seed < 2**64 and 0 <= index < 2**64):
        raise ValueError(
            f"episode {index} of seed {seed} does not exist; both are numbers from 0 to"
            " 2**64 - 1."
        )
    # A counter-based generator, whose cost to start is the same for every index.
    key = np.array([seed, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key).jumped(stream))


def uniform(rng: np.random.Generator, low: int, high: int) -> int:
    """Draws an integer from `low` to `high`, both included."""
    return low if low == high else int(rng.integers(low, high + 1))


def count_range(name: str, count: Count, least: int) -> Range:
    """Returns the minimum and maximum of a count, validated."""
    low, high = (count, count) if isinstance(count, int) else count
    if not least <= low <= high:
        raise ValueError(
            f"{name} is {count}; give a number of {least} or more, or (least, most)."
        )
    return low, high


def distinct_by_domain(examples: Examples) -> tuple[np.ndarray, ...]:
    """Returns the indices of each domain's examples with distinct texts."""
    domains = examples.domains or ("",) * len(examples)
    first: dict[str, dict[Hashable, int]] = {}
    for number, (domain, text) in enumerate(zip(domains, examples.texts, strict=True)):
        first.setdefault(domain, {}).setdefault(text, number)
    return tuple(
        np.array([*texts.values()], np.int32) for _, texts in sorted(first.items())
    )


def _pools(examples: Examples) -> tuple[Pool, ...]:
    """Groups examples with distinct texts by domain and class."""
    class_of = {name: i for i, name in enumerate(examples.label_names)}
    domain_of = {name: i for i, name in enumerate(examples.domain_names)}
    domains = [domain_of[name] for name in examples.domains or ()]
    first: dict[int, dict[int, dict[Hashable, int]]] = {}  # By domain, class and text.
    for number, labels in enumerate(examples.labels):
        classes = first.setdefault(domains[number] if domains else -1, {})
        for label in labels:
            texts = classes.setdefault(class_of[label], {})
            texts.setdefault(examples.texts[number], number)
    return tuple(
        Pool(
            domain if examples.domains else None,
            np.array(sorted(classes)),
            tuple(np.array([*classes[c].values()], np.int32) for c in sorted(classes)),
        )
        for domain, classes in sorted(first.items())
    )


def count_texts(examples: Examples) -> dict[tuple[str | None, str], int]:
    """Counts the different texts of each class, by its domain and name."""
    labels, domains = examples.label_names, examples.domain_names
    return {
        (
            None if pool.domain is None else domains[pool.domain],
            labels[number],
        ): _num_different(members, examples.groups)
        for pool in _pools(examples)
        for number, members in zip(pool.classes.tolist(), pool.members, strict=True)
    }


def _num_different(members: np.ndarray, groups: np.ndarray | None) -> int:
    """Counts texts that differ in more than case and white space."""
    return len(members if groups is None else np.unique(groups[members]))


def _check(examples: Examples, pools: Pools) -> None:
    way, shot, queries = pools.way[1], pools.shot[1], pools.queries[1]
    labels, domains = examples.label_names, examples.domain_names

    def place(pool: Pool) -> str:
        return "" if pool.domain is None else f" of domain {domains[pool.domain]!r}"

    scarce = [
        f"{labels[c]!r}{place(pool)} ({_num_different(members, examples.groups)})"
        for pool in pools.pools
        for c, members in zip(pool.classes.tolist(), pool.members, strict=True)
        if _num_different(members, examples.groups) < shot + queries
    ]
    if scarce:
        raise ValueError(
            f"{examples.name}: an episode takes {shot} + {queries} different texts of a"
            f" class, and these have fewer: {', '.join(scarce)}. Add texts, leave the"
            " classes out (`--rare-classes drop`), or lower shot or queries."
            + see("howto/rare_classes")
        )
    few = [
        f"{len(pool.classes)} classes{place(pool)}"
        for pool in pools.pools
        if len(pool.classes) < way
    ]
    if few or not pools.pools:
        raise ValueError(
            f"{examples.name}: {', '.join(few) or 'no classes'} cannot make an episode"
            f" of {way}; lower way, or add classes.{see('howto/episodes')}"
        )
