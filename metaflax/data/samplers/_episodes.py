"""Episodes, samplers, and fixed lists of episodes for comparing methods.

Sampling is stateless: the episode of a seed and an index is always the same. So the
position of a run in its data is one integer, and any process can sample any episode.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from metaflax.data.sources._examples import Examples


class NameRows(NamedTuple):
    """Names of an episode's classes, added to its support set.

    Attributes:
      rows: int32 `[M]`, indices of the texts of names.
      targets: int32 `[M]`, local classes.
      weight: weight of each beside that of a support example, which is 1.
    """

    rows: np.ndarray
    targets: np.ndarray
    weight: float


class FittedRows(NamedTuple):
    """Examples that a task adapts to: support set, and names of classes if any.

    Attributes:
      rows: int32 `[S]`, indices of texts.
      targets: their targets.
      weights: float32 `[S]`; None where all of them weigh 1.
    """

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Episode:
    """One few-shot task, as indices of examples.

    Attributes:
      classes: global ids of the drawn classes, in random order: local class i is
        `label_names[classes[i]]`. Empty where targets are numbers.
      domain: index into `domain_names` of the domain it was drawn from, or None.
      support: int32 `[S]`, indices of the support examples.
      support_targets: int32 `[S]`, local classes; float32 `[S, N]` of 0 and 1 where a
        text may have several; float32 `[S]` where targets are numbers.
      query: int32 `[Q]`, indices of the query examples.
      query_targets: as `support_targets`, of the queries; -1 for none of the classes.
      names: names of its classes, added to the support set; None if names are not used.

    Examples:
      >>> from metaflax import data
      >>> pets = data.Examples(
      ...     "pets",
      ...     texts=("it barks", "it wags", "it purrs", "it meows"),
      ...     labels=(("dog",), ("dog",), ("cat",), ("cat",)),
      ... )
      >>> episode = data.EpisodeSampler(pets, way=2, shot=1, queries=1).episode(0, 0)
      >>> for row, target in zip(episode.support, episode.support_targets):
      ...     print(pets.texts[row], "-", pets.label_names[episode.classes[target]])
      it wags - dog
      it meows - cat
    """

    classes: tuple[int, ...]
    domain: int | None
    support: np.ndarray
    support_targets: np.ndarray
    query: np.ndarray
    query_targets: np.ndarray
    names: NameRows | None = None

    @property
    def fitted(self) -> FittedRows:
        """The support examples, then the names of classes."""
        if self.names is None:
            return FittedRows(self.support, self.support_targets)
        rows, targets, weight = self.names
        weights = np.ones(len(self.support) + len(rows), np.float32)
        weights[len(self.support) :] = weight
        return FittedRows(
            np.concatenate([self.support, rows]),
            np.concatenate([self.support_targets, targets]),
            weights,
        )


class EpisodeSizes(NamedTuple):
    """Maximum sizes of a sampler's episodes, which fix the shapes of batches."""

    num_classes: int
    num_support: int
    num_queries: int


class Sampler(Protocol):
    """Interface of samplers of episodes.

    Examples:
      >>> from metaflax import data
      >>> class EverySecond:
      ...     def __init__(self, sampler):
      ...         self.sampler, self.sizes = sampler, sampler.sizes
      ...     def episode(self, seed, index):
      ...         return self.sampler.episode(seed, 2 * index)
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = data.Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = data.EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> episodes = data.fixed_list(EverySecond(sampler), seed=0, num=2)
      >>> print((episodes[1].query == sampler.episode(0, 2).query).all())
      True
    """

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        ...

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        ...


def fixed_list(sampler: Sampler, seed: int, num: int) -> tuple[Episode, ...]:
    """Samples a fixed list of episodes, for evaluating all methods.

    Args:
      sampler: samples an episode from a seed and an index.
      seed: seed of the list.
      num: number of episodes; a longer list begins with the shorter one.

    Returns:
      The episodes 0 to `num - 1` of the seed.

    Examples:
      >>> from metaflax import data
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = data.Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = data.EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> longer = data.fixed_list(sampler, seed=0, num=3)
      >>> data.protocol_hash(longer[:2]) == data.protocol_hash(
      ...     data.fixed_list(sampler, seed=0, num=2)
      ... )
      True
    """
    return tuple(sampler.episode(seed, index) for index in range(num))


def protocol_hash(episodes: Iterable[Episode]) -> str:
    """Computes the SHA-256, in hex, of the indices in a list of episodes.

    Two methods were compared on the same episodes of a data set if their hashes agree.
    Names of classes, which a method may or may not use, are no part of it.
    The hash is of indices of examples and classes; `content_hash` is of their texts.

    Args:
      episodes: a list of episodes, such as that of `fixed_list`.

    Returns:
      64 hexadecimal digits.

    Examples:
      >>> from metaflax import data
      >>> texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
      >>> letters = data.Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = data.EpisodeSampler(letters, way=2, shot=1, queries=2)
      >>> lists = [data.fixed_list(sampler, seed, num=2) for seed in (0, 0, 1)]
      >>> first, again, other = map(data.protocol_hash, lists)
      >>> first == again, first == other
      (True, False)
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
            # Shapes as prefixes, so that different lists have different digests.
            digest.update(np.array([column.ndim, *column.shape], "<i8").tobytes())
            digest.update(column.astype(dtype).tobytes())
    return digest.hexdigest()


def content_hash(episodes: Iterable[Episode], examples: Examples) -> str:
    """Computes the SHA-256, in hex, of the texts and class names of episodes.

    Episodes of different folds of a data set often have the same indices, but different
    texts.

    Args:
      episodes: the episodes.
      examples: the examples that the episodes index.

    Returns:
      A hash that agrees for the same texts with the same labels, targets and class
      names.
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
        content = (number, examples.texts[number], examples.labels[number], target)
        digest.update(repr(content).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
