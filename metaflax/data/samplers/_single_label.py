"""Episodes for single-label classification."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.samplers._support_texts import replace_support_texts
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class EpisodeSampler:
    """Samples N-way K-shot episodes of texts with one label each.

    A domain is drawn (if there are several), then classes in it, then examples of each
    class, all uniformly and without replacement. Texts that occur twice in a class are
    deduplicated, and a query whose text is in the support set, up to case and white
    space, is replaced by another one of its class, or left out where there is none.

    Attributes:
      examples: the examples to draw from.
      way: classes per episode, or (least, most), drawn uniformly.
      shot: support examples per class, or (least, most), drawn uniformly.
      queries: query examples per class, or (least, most), drawn uniformly.

    Raises:
      ValueError: if a text has several labels, or a domain has fewer classes than
        `way`, or a class has fewer texts than `shot + queries`.

    Examples:
      >>> from metaflax.data import EpisodeSampler, Examples
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> episode = EpisodeSampler(letters, way=2, shot=1, queries=2).episode(0, 7)
      >>> episode.support_targets, episode.query_targets
      (array([0, 1], dtype=int32), array([0, 0, 1, 1], dtype=int32))

    References:
      Vinyals et al., `Matching Networks for One Shot Learning
      <https://arxiv.org/abs/1606.04080>`_, 2016, for episodes of N ways and K shots.
    """

    examples: Examples
    way: _pools.Count
    shot: _pools.Count
    queries: _pools.Count
    _drawn_from: _pools.Pools = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.examples.is_multi_label:
            raise ValueError(
                f"{self.examples.name}: some texts have several labels; draw episodes"
                " by MultiLabelSampler."
            )
        pools = _pools.build(self.examples, self.way, self.shot, self.queries)
        object.__setattr__(self, "_drawn_from", pools)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self._drawn_from.sizes

    @property
    def pools(self) -> tuple[_pools.Pool, ...]:
        """The classes and examples to draw from, by domain."""
        return self._drawn_from.pools

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`, ordered by class."""
        pool, rng, classes, shot, queries = self._drawn_from.draw(seed, index)
        drawn = np.stack(
            [
                members[rng.choice(len(members), shot + queries, replace=False)]
                for members in (pool.members[c] for c in classes)
            ]
        )  # [way, shot + queries]
        local = np.arange(len(classes), dtype=np.int32)
        support = drawn[:, :shot].ravel()
        query = replace_support_texts(
            [*drawn[:, shot:]],
            support,
            [pool.members[c] for c in classes],
            self.examples.groups,
            seed,
            index,
        )
        return Episode(
            classes=tuple(pool.classes[classes].tolist()),
            domain=pool.domain,
            support=support,
            support_targets=local.repeat(shot),
            query=np.concatenate(query),
            query_targets=local.repeat([len(rows) for rows in query]),
        )
