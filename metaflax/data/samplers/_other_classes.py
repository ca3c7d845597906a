"""Queries of classes that an episode did not draw, for texts that belong to none."""

import dataclasses
import functools

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes, Sampler
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class QueriesOfOtherClasses:
    """Replaces the queries of a sampler's episodes by texts of other classes.

    Support sets stay as they are. Where an episode is drawn from a domain, its new
    queries are too. Their targets are 0, a placeholder.

    Attributes:
      sampler: samples episodes of classes.
      examples: the examples that it samples from, of one label each.

    Examples:
      >>> from metaflax.data.samplers._single_label import EpisodeSampler
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> episode = QueriesOfOtherClasses(sampler, letters).episode(0, 7)
      >>> drawn = {letters.label_names[number] for number in episode.classes}
      >>> drawn & {texts[row][-1] for row in episode.query}
      set()
    """

    sampler: Sampler
    examples: Examples

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self.sampler.sizes

    @functools.cached_property
    def _classes(self) -> np.ndarray:
        """The class of each example."""
        numbers = {name: n for n, name in enumerate(self.examples.label_names)}
        return np.array([numbers[labels[0]] for labels in self.examples.labels])

    @functools.cached_property
    def _domains(self) -> np.ndarray:
        """The domain of each example."""
        numbers = {name: n for n, name in enumerate(self.examples.domain_names)}
        return np.array([numbers[name] for name in self.examples.domains or ()])

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`.

        Raises:
          ValueError: if there is no text of another class.
        """
        episode = self.sampler.episode(seed, index)
        is_other = ~np.isin(self._classes, episode.classes)
        if episode.domain is not None:
            is_other &= self._domains == episode.domain
        others, num = np.flatnonzero(is_other), len(episode.query)
        if not len(others):
            raise ValueError(
                f"{self.examples.name}: an episode has all classes, so that no text"
                " belongs to another; give more classes, or lower way."
            )
        # A separate stream from the samplers'.
        rng = _pools.generator(seed, index, stream=6)
        rows = rng.choice(others, num, replace=num > len(others))
        return dataclasses.replace(
            episode,
            query=rows.astype(episode.query.dtype),
            query_targets=np.zeros_like(episode.query_targets),
        )
