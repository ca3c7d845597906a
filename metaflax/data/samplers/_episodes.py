"""What an episode is, and lists of them to compare methods on.

Episodes have no state: the episode of a seed and an index is always the same. So the
position of a run in its data is one integer, and any process can draw any episode.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class Episode:
    """One few-shot task, as numbers of examples.

    Attributes:
      classes: global ids of the drawn classes, in random order: local class i is
        `label_names[classes[i]]`. Empty where targets are numbers.
      domain: which of `domain_names` it was drawn from, or None.
      support: int32 `[S]`, numbers of examples to learn from.
      support_targets: int32 `[S]`, local classes; float32 `[S, N]` of 0 and 1 where a
        text may have several; float32 `[S]` where targets are numbers.
      query: int32 `[Q]`, numbers of examples to be judged on.
      query_targets: as `support_targets`, of the queries; -1 for none of the classes.
    """

    classes: tuple[int, ...]
    domain: int | None
    support: np.ndarray
    support_targets: np.ndarray
    query: np.ndarray
    query_targets: np.ndarray


class EpisodeSizes(NamedTuple):
    """The largest episode that a sampler draws, which fixes the shapes of batches."""

    num_classes: int
    num_support: int
    num_queries: int


class Sampler(Protocol):
    """What draws episodes."""

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        ...

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names."""
        ...


def fixed_list(sampler: Sampler, seed: int, num: int) -> tuple[Episode, ...]:
    """The first `num` episodes of a seed, to evaluate every method on."""
    return tuple(sampler.episode(seed, index) for index in range(num))


def protocol_hash(episodes: Iterable[Episode]) -> str:
    """SHA-256, in hex, of what is asked in a list of episodes of one data set.

    Two methods were compared on the same list if their hashes agree. It is of numbers
    of examples and classes: what these say is in `content_hash`.
    """
    digest = hashlib.sha256()
    for episode in episodes:
        domain = -1 if episode.domain is None else episode.domain
        for column, dtype in (
            (np.array([domain]), "<i8"),
            (np.array(episode.classes), "<i8"),
            (episode.support, "<i8"),
            (episode.support_targets, "<f4"),
            (episode.query, "<i8"),
            (episode.query_targets, "<f4"),
        ):
            # Shapes first, so that no two lists run together alike.
            digest.update(np.array([column.ndim, *column.shape], "<i8").tobytes())
            digest.update(column.astype(dtype).tobytes())
    return digest.hexdigest()


def content_hash(episodes: Iterable[Episode], examples: Examples) -> str:
    """SHA-256, in hex, of the texts and names that a list of episodes stands for.

    Folds of one data set often have the same episodes in numbers, and others in words.

    Args:
      episodes: the list.
      examples: what its numbers are of.

    Returns:
      The same for the same texts with the same labels, targets and class names.
    """
    texts: set[int] = set()
    classes: set[int] = set()
    for episode in episodes:
        texts.update(episode.support.tolist(), episode.query.tolist())
        classes.update(episode.classes)
    names, targets = examples.label_names, examples.targets
    digest = hashlib.sha256()
    for number in sorted(classes):
        digest.update(repr((number, names[number])).encode())
    for number in sorted(texts):
        target = None if targets is None else targets[number]
        told = (number, examples.texts[number], examples.labels[number], target)
        digest.update(repr(told).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
