"""Episodes for few-shot regression."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class NumberSampler:
    """Samples episodes of texts with numeric targets, each from one domain.

    A domain is drawn (if there are several), then examples in it, uniformly and
    without replacement. Texts that occur twice in a domain are deduplicated, so that no
    query repeats a support text.

    Attributes:
      examples: the examples to draw from.
      shot: support examples per episode, or (least, most), drawn uniformly.
      queries: query examples per episode, or (least, most), drawn uniformly.

    Raises:
      ValueError: if the examples have no targets, or a domain has fewer texts than
        `shot + queries`.

    Examples:
      >>> texts, numbers = tuple("abcd"), (1.0, 2.0, 3.0, 4.0)
      >>> letters = Examples("letters", texts, ((),) * 4, targets=numbers)
      >>> episode = NumberSampler(letters, shot=1, queries=3).episode(0, 0)
      >>> sorted([*episode.support_targets.tolist(), *episode.query_targets.tolist()])
      [1.0, 2.0, 3.0, 4.0]
    """

    examples: Examples
    shot: _pools.Count
    queries: _pools.Count
    _ranges: tuple[_pools.Range, _pools.Range] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _members: tuple[np.ndarray, ...] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _numbers: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.examples.targets is None:
            raise ValueError(
                f"{self.examples.name}: holds no numbers to learn; read it with"
                " task=tasks.regression()."
            )
        ranges = (
            _pools.count_range("shot", self.shot, 1),
            _pools.count_range("queries", self.queries, 1),
        )
        members = _pools.distinct_by_domain(self.examples)
        _check(self.examples, members, ranges[0][1] + ranges[1][1])
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_members", members)
        object.__setattr__(
            self, "_numbers", np.array(self.examples.targets, np.float32)
        )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; its only class stands for the numeric target."""
        (_, shot), (_, queries) = self._ranges
        return EpisodeSizes(1, shot, queries)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        rng = _pools.generator(seed, index)
        domain = _pools.uniform(rng, 0, len(self._members) - 1)
        shot, queries = (_pools.uniform(rng, *bounds) for bounds in self._ranges)
        members = self._members[domain]
        drawn = members[rng.choice(len(members), shot + queries, replace=False)]
        support, query = drawn[:shot], drawn[shot:]
        return Episode(
            classes=(),
            domain=domain if self.examples.domains else None,
            support=support,
            support_targets=self._numbers[support],
            query=query,
            query_targets=self._numbers[query],
        )


def _check(examples: Examples, members: tuple[np.ndarray, ...], num: int) -> None:
    names = examples.domain_names or ("all",)
    scarce = [
        f"{name!r} ({len(rows)})"
        for name, rows in zip(names, members, strict=True)
        if len(rows) < num
    ]
    if scarce or not members:
        raise ValueError(
            f"{examples.name}: an episode takes {num} different texts of a domain,"
            f" and these have fewer: {', '.join(scarce) or 'there is none'}. Add texts,"
            " leave the domains out, or lower shot or queries."
        )
