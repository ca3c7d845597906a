"""Episodes for text generation."""

import dataclasses
from collections.abc import Hashable

import numpy as np

from metaflax.data.samplers import _domains, _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import text_key
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
    _by_domain: _domains.Domains = dataclasses.field(
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
        domains = _domains.build(self.examples, self.shot, self.queries)
        groups = _domains.group_numbers(map(_group_key, self.examples.texts))
        object.__setattr__(self, "_by_domain", domains)
        object.__setattr__(self, "_groups", groups)
        _check(self.examples.name, domains, groups)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; all examples have the same class."""
        return self._by_domain.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`; targets are 0."""
        members = self._by_domain.members
        turns = _pools.generator(seed, index // len(members), stream=1).permutation(
            len(members)
        )
        rng, domain = _pools.generator(seed, index), int(turns[index % len(members)])
        shot, queries = self._by_domain.draw_counts(rng)
        order = rng.permutation(members[domain])
        support = order[:shot]
        query = _domains.unshared(order, support, self._groups)[:queries]
        targets = np.zeros(len(self.examples), np.int32)
        return self._by_domain.episode(domain, support, query, targets)


def _check(source: str, domains: _domains.Domains, groups: np.ndarray) -> None:
    """Checks that every possible episode has enough examples."""
    shot, queries = domains.shot[1], domains.queries[1]
    for name, members in zip(domains.names, domains.members, strict=True):
        left = _domains.min_unshared(members, groups, shot)
        if len(members) < shot or left < queries:
            raise ValueError(
                f"{source}: domain {name!r} has {len(members)} different texts; {shot}"
                f" for the support set may leave {left} that share nothing with them,"
                f" and an episode takes {queries}. Add texts, leave the domain out, or"
                " lower shot or queries."
            )


def _group_key(text: Hashable) -> Hashable:
    """Returns the source text, or the first turn of a dialogue."""
    return text_key(text[0] if isinstance(text, tuple) and text else text)
