"""Episodes of texts and what is to be said of them."""

import dataclasses
from collections.abc import Hashable

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class GenerationSampler:
    """Draws episodes of texts to be said: a domain is a task.

    Domains take turns: each round of as many episodes as there are domains has all of
    them, in an order of its own, so that a list of episodes asks of every domain the
    same number of times. In a domain support examples are drawn uniformly and without
    replacement, then queries among those that share nothing with them: no text, and of
    dialogues no first turn.

    Attributes:
      examples: where episodes are drawn from.
      shot: support examples, or (least, most), drawn uniformly.
      queries: query examples, likewise.

    Raises:
      ValueError: if the examples have no targets, or a domain has too few that share
        nothing.

    Examples:
      >>> texts, said = tuple("abcd"), tuple("wxyz")
      >>> letters = Examples("letters", texts, ((),) * 4, targets=said)
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
    # Of each example the number of what it shares with others.
    _groups: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        targets = self.examples.targets
        if targets is None or not all(isinstance(t, str) for t in targets):
            raise ValueError(
                f"{self.examples.name}: holds no texts to be said; read it with a task"
                " type that generates, such as task=tasks.translation()."
            )
        ranges = (
            _pools.count_range("shot", self.shot, 1),
            _pools.count_range("queries", self.queries, 1),
        )
        numbers: dict[Hashable, int] = {}
        groups = [
            numbers.setdefault(_shared(text), len(numbers))
            for text in self.examples.texts
        ]
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_members", _pools.distinct_by_domain(self.examples))
        object.__setattr__(self, "_groups", np.array(groups))
        self._check(ranges[0][1], ranges[1][1])

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; the one "class" is that of texts."""
        (_, shot), (_, queries) = self._ranges
        return EpisodeSizes(1, shot, queries)

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names; targets are 0."""
        num = len(self._members)
        turns = _pools.generator(seed, index // num, stream=1).permutation(num)
        rng, domain = _pools.generator(seed, index), int(turns[index % num])
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
        """Whether every episode that may be drawn has enough examples."""
        names = self.examples.domain_names or ("all",)
        for name, members in zip(names, self._members, strict=True):
            _, sizes = np.unique(self._groups[members], return_counts=True)
            # At worst the support set is of those that share most.
            least = int(np.sort(sizes)[: max(len(sizes) - shot, 0)].sum())
            if len(members) < shot or least < queries:
                raise ValueError(
                    f"{self.examples.name}: domain {name!r} has {len(members)}"
                    f" different texts; {shot} for the support set may leave {least}"
                    f" that share nothing with them, and an episode takes {queries}."
                    " Add texts, leave the domain out, or lower shot or queries."
                )


def _shared(text: Hashable) -> Hashable:
    """What no query may share with the support set: a text, or a dialogue's start."""
    return text[0] if isinstance(text, tuple) and text else text
