"""Names of classes as further support examples of a sampler's episodes."""

import dataclasses

import numpy as np

from metaflax.data.samplers._episodes import Episode, EpisodeSizes, NameRows, Sampler
from metaflax.data.sources._label_texts import LabelTexts


@dataclasses.dataclass(frozen=True)
class WithLabelNames:
    """Adds the names of an episode's classes to its support examples.

    What is drawn stays as it is, so that methods with and without names are compared
    on the same episodes.

    Attributes:
      sampler: samples episodes of classes.
      names: texts of all classes, by their global number.
      first: index of the first of `names.inputs`, which follow the sampler's texts.

    Examples:
      >>> from metaflax.data.samplers._single_label import EpisodeSampler
      >>> from metaflax.data.sources._examples import Examples
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> names = LabelTexts(("the a", "the b", "the c"), weight=2.0)
      >>> episode = WithLabelNames(sampler, names, first=12).episode(0, 7)
      >>> rows, targets, weights = episode.fitted
      >>> [(*texts, *names.texts)[row] for row in rows]
      ['1 c', '2 b', 'the c', 'the b']
      >>> print(targets, weights)
      [0 1 0 1] [1. 1. 2. 2.]
    """

    sampler: Sampler
    names: LabelTexts
    first: int

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode, with a name for each class."""
        sizes = self.sampler.sizes
        return sizes._replace(num_support=sizes.num_support + sizes.num_classes)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`, with names."""
        return with_names(self.sampler.episode(seed, index), self.names, self.first)


def with_names(episode: Episode, names: LabelTexts, first: int) -> Episode:
    """Adds the names of its classes to an episode; see `WithLabelNames`."""
    row_of = {n: first + row for row, n in enumerate(names.classes)}
    named = [
        (row_of[n], local) for local, n in enumerate(episode.classes) if n in row_of
    ]
    rows, targets = np.array(named, np.int32).reshape(-1, 2).T
    return dataclasses.replace(episode, names=NameRows(rows, targets, names.weight))
