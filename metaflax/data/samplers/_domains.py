"""Examples by domain, for samplers whose episodes come from one domain each."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


class Domains(NamedTuple):
    """The examples of each domain, and the ranges of shot and queries.

    Attributes:
      names: names of the domains that have examples; `all` where the data have no
        domains.
      members: for each domain the indices of its examples with distinct texts.
      shot: range of support examples per episode.
      queries: range of query examples per episode.
      named: whether the data have domains.
    """

    names: tuple[str, ...]
    members: tuple[np.ndarray, ...]
    shot: _pools.Range
    queries: _pools.Range
    named: bool

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; all examples have the same class."""
        return EpisodeSizes(1, self.shot[1], self.queries[1])

    def draw_domain(self, rng: np.random.Generator) -> int:
        """Draws the index of a domain, uniformly."""
        return _pools.uniform(rng, 0, len(self.members) - 1)

    def draw_counts(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draws shot and queries, uniformly."""
        return _pools.uniform(rng, *self.shot), _pools.uniform(rng, *self.queries)

    def episode(
        self, domain: int, support: np.ndarray, query: np.ndarray, targets: np.ndarray
    ) -> Episode:
        """Makes the episode of these examples; `targets` are those of all examples."""
        return Episode(
            classes=(),
            domain=domain if self.named else None,
            support=support,
            support_targets=targets[support],
            query=query,
            query_targets=targets[query],
        )


def build(examples: Examples, shot: _pools.Count, queries: _pools.Count) -> Domains:
    """Groups examples with distinct texts by domain.

    Raises:
      ValueError: if a count is out of range.
    """
    return Domains(
        examples.domain_names or ("all",),
        _pools.distinct_by_domain(examples),
        _pools.count_range("shot", shot, 1),
        _pools.count_range("queries", queries, 1),
        bool(examples.domains),
    )


def group_numbers(keys: Iterable[Hashable]) -> np.ndarray:
    """Numbers the groups of examples with equal keys."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def unshared(order: np.ndarray, support: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns the examples of `order` in none of the groups of the support set."""
    return order[~np.isin(groups[order], groups[support])]


def min_unshared(members: np.ndarray, groups: np.ndarray, shot: int) -> int:
    """Returns how many examples of a domain any support set leaves unshared."""
    _, sizes = np.unique(groups[members], return_counts=True)
    # In the worst case the support set covers the largest groups.
    return int(np.sort(sizes)[: max(len(sizes) - shot, 0)].sum())
