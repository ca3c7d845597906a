"""Episodes for few-shot regression."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _domains, _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.samplers._support_texts import replace_support_texts
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class NumberSampler:
    """Samples episodes of texts with numeric targets, each from one domain.

    A domain is drawn (if there are several), then examples in it, uniformly and
    without replacement. Texts that occur twice in a domain are deduplicated, and a
    query whose text is in the support set, up to case and white space, is replaced by
    another one, or left out where there is none.

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
    _by_domain: _domains.Domains = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _numbers: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.examples.targets is None:
            raise ValueError(
                f"{self.examples.name}: holds no numbers to learn; read it with"
                " task=tasks.regression()."
            )
        domains = _domains.build(self.examples, self.shot, self.queries)
        _check(self.examples.name, domains)
        numbers = np.array(self.examples.targets, np.float32)
        object.__setattr__(self, "_by_domain", domains)
        object.__setattr__(self, "_numbers", numbers)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; its only class stands for the numeric target."""
        return self._by_domain.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        rng = _pools.generator(seed, index)
        domain = self._by_domain.draw_domain(rng)
        shot, queries = self._by_domain.draw_counts(rng)
        members = self._by_domain.members[domain]
        drawn = members[rng.choice(len(members), shot + queries, replace=False)]
        support = drawn[:shot]
        [query] = replace_support_texts(
            [drawn[shot:]], support, [members], self.examples.groups, seed, index
        )
        return self._by_domain.episode(domain, support, query, self._numbers)


def _check(source: str, domains: _domains.Domains) -> None:
    """Checks that every possible episode has enough examples."""
    num = domains.shot[1] + domains.queries[1]
    scarce = [
        f"{name!r} ({len(rows)})"
        for name, rows in zip(domains.names, domains.members, strict=True)
        if len(rows) < num
    ]
    if scarce or not domains.members:
        raise ValueError(
            f"{source}: an episode takes {num} different texts of a domain,"
            f" and these have fewer: {', '.join(scarce) or 'there is none'}. Add texts,"
            " leave the domains out, or lower shot or queries."
        )
