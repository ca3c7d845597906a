"""None-of-the-above queries: queries of none of an episode's classes."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.samplers._single_label import EpisodeSampler
from metaflax.data.samplers._support_texts import not_in_support


@dataclasses.dataclass(frozen=True)
class WithNone:
    """Adds none-of-the-above queries, whose target is -1, to a sampler's episodes.

    These queries are drawn uniformly from all examples of the episode's domain whose
    class is not in the episode and whose text is not in its support set.

    Attributes:
      sampler: samples classes, support and the queries of these classes.
      rate: share of all queries that belong to none of the classes, in [0, 1).

    Raises:
      ValueError: if the rate is not in that range, or a domain has too few examples of
        classes outside an episode.

    Examples:
      >>> from metaflax.data.sources._examples import Examples
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> WithNone(sampler, rate=0.5).episode(0, 7).query_targets
      array([ 0,  0,  1,  1, -1, -1, -1, -1], dtype=int32)

    References:
      Gao et al., `FewRel 2.0: Towards More Challenging Few-Shot Relation
      Classification <https://arxiv.org/abs/1910.07124>`_, 2019.
    """

    sampler: EpisodeSampler
    rate: float

    def __post_init__(self):
        if not 0 <= self.rate < 1:
            raise ValueError(
                f"the share of queries of no class is {self.rate}; give 0 to below 1."
            )
        examples = self.sampler.examples
        num_none = self._num_none(self.sampler.sizes.num_queries)
        for pool in self.sampler.pools:
            # The worst case: an episode of the largest classes.
            rest = sorted(map(len, pool.members))[: -self.sampler.sizes.num_classes]
            if sum(rest) < num_none:
                raise ValueError(
                    f"{examples.name}: beside an episode of"
                    f" {self.sampler.sizes.num_classes} classes there are {sum(rest)}"
                    f" texts of others, and {num_none} are to belong to none; lower way"
                    " or the rate, or add classes."
                )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        sizes = self.sampler.sizes
        num_none = self._num_none(sizes.num_queries)
        return sizes._replace(num_queries=sizes.num_queries + num_none)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        episode = self.sampler.episode(seed, index)
        [pool] = [p for p in self.sampler.pools if p.domain == episode.domain]
        # A separate stream from the sampler's.
        rng = _pools.generator(seed, index, stream=1)
        others = np.concatenate(
            [
                members
                for number, members in zip(pool.classes, pool.members, strict=True)
                if number not in episode.classes
            ]
        )
        groups = self.sampler.examples.groups
        others = not_in_support(others, episode.support, groups)
        count = min(self._num_none(len(episode.query)), len(others))
        drawn = rng.choice(others, count, replace=False)
        none = np.full(count, -1, episode.query_targets.dtype)
        return dataclasses.replace(
            episode,
            query=np.concatenate([episode.query, drawn]),
            query_targets=np.concatenate([episode.query_targets, none]),
        )

    def _num_none(self, num_queries: int) -> int:
        """Number of queries of no class to add to `num_queries` others."""
        return round(num_queries * self.rate / (1 - self.rate))
