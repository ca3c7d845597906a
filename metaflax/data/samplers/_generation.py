"""Episodes for text generation."""

import dataclasses
from collections.abc import Hashable

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class GenerationSampler:
    """Samples episodes for text generation, each from one domain.

    Domains alternate: each round of D episodes covers all D domains in a random order,
    so that a list of episodes covers all domains equally often. Support examples
    of a domain are drawn uniformly and without replacement, then queries among the
    examples that do not share their source text with the support set, or, for
    dialogues, the first turn.

    Attributes:
      examples: the examples to draw from.
      shot: support examples per episode, or (least, most), drawn uniformly.
      queries: query examples per episode, or (least, most), drawn uniformly.

    Raises:
      ValueError: if the examples have no target texts, or a domain may have too few
        examples left for the queries.

    Examples:
      >>> texts, targets = tuple("abcd"), tuple("wxyz")
      >>> letters = Examples("letters", texts, ((),) * 4, targets=targets)
      >>> episode = GenerationSampler(letters, shot=1, queries=3).episode(0, 0)
      >>> sorted([*episode.support.tolist(), *episode.query.tolist()])
      [0, 1, 2, 3]
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
    # [examples], equal for examples that must not be in both support and query.
    _groups: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        targets = self.examples.targets
        if targets is None or not all(isinstance(t, str) for t in targets):
            raise ValueError(
                f"{self.examples.name}: holds no target texts; read it with a task type"
                " of text generation, such as task=tasks.translation()."
            )
        ranges = (
            _pools.count_range("shot", self.shot, 1),
            _pools.count_range("queries", self.queries, 1),
        )
        numbers: dict[Hashable, int] = {}
        groups = [
            numbers.setdefault(_group_key(text), len(numbers))
            for text in self.examples.texts
        ]
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_members", _pools.distinct_by_domain(self.examples))
        object.__setattr__(self, "_groups", np.array(groups))
        self._check(ranges[0][1], ranges[1][1])

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; all examples have the same class."""
        (_, shot), (_, queries) = self._ranges
        return EpisodeSizes(1, shot, queries)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`; targets are 0."""
        num = len(self._members)
        domains = _pools.generator(seed, index // num, stream=1).permutation(num)
        rng, domain = _pools.generator(seed, index), int(domains[index % num])
        shot, queries = (_pools.uniform(rng, *bounds) for bounds in self._ranges)
        order = rng.permutation(self._members[domain])
        support = order[:shot]
        others = ~np.isin(self._groups[order], self._groups[support])
        query = order[others][:queries]
        return Episode(
            classes=(),
            domain=domain if self.examples.domains else None,
            support=support,
            support_targets=np.zeros(len(support), np.int32),
            query=query,
            query_targets=np.zeros(len(query), np.int32),
        )

    def _check(self, shot: int, queries: int) -> None:
        """Checks that every possible episode has enough examples."""
        names = self.examples.domain_names or ("all",)
        for name, members in zip(names, self._members, strict=True):
            _, sizes = np.unique(self._groups[members], return_counts=True)
            # In the worst case the support set covers the largest groups.
            least = int(np.sort(sizes)[: max(len(sizes) - shot, 0)].sum())
            if len(members) < shot or least < queries:
                raise ValueError(
                    f"{self.examples.name}: domain {name!r} has {len(members)}"
                    f" different texts; {shot} for the support set may leave {least}"
                    f" that share nothing with them, and an episode takes {queries}."
                    " Add texts, leave the domain out, or lower shot or queries."
                )


def _group_key(text: Hashable) -> Hashable:
    """Returns the source text, or the first turn of a dialogue."""
    return text[0] if isinstance(text, tuple) and text else text
