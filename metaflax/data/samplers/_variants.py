"""Data augmentation: episodes with some texts replaced by variants."""

import dataclasses
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes, Sampler
from metaflax.data.sources._equal_texts import text_key
from metaflax.data.sources._examples import Examples


class Variants(NamedTuple):
    """Texts and their variants in one list.

    Attributes:
      texts: the texts of the examples in order, then all variants.
      first: int32 `[E]`, index of each example's first variant.
      counts: int32 `[E]`, number of each example's variants, which are consecutive.

    Examples:
      >>> pets = Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)),
      ...                 variants=(("he barks",), ("he purrs", "it barks")))
      >>> variants = Variants.of(pets)
      >>> variants.texts, variants.counts.tolist()  # "it barks" is a text itself.
      (('it barks', 'it purrs', 'he barks', 'he purrs'), [1, 1])
    """

    texts: tuple[Hashable, ...]
    first: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, examples: Examples) -> "Variants":
        """Collects the variants of examples.

        A variant that equals another text, or a variant of an earlier text, up to case
        and white space, is dropped, so that different texts of an episode stay
        different.
        """
        variants = examples.variants or ((),) * len(examples)
        owner = {key: key for key in map(text_key, examples.texts)}
        texts: list[Hashable] = list(examples.texts)
        first, counts = np.zeros((2, len(examples)), np.int32)
        for number, (text, text_variants) in enumerate(
            zip(examples.texts, variants, strict=True)
        ):
            first[number] = len(texts)
            key = text_key(text)
            texts += [
                variant
                for variant in dict.fromkeys(text_variants)
                if variant != text and owner.setdefault(text_key(variant), key) == key
            ]
            counts[number] = len(texts) - first[number]
        return cls(tuple(texts), first, counts)


@dataclasses.dataclass(frozen=True)
class WithVariants:
    """Replaces texts of a sampler's episodes by variants of them at random.

    Which texts are in an episode does not depend on `rate`, and no episode has both a
    text and a variant of it, since the sampler draws it once. Each text is replaced
    independently with probability `rate`, by one of its variants, drawn uniformly. The
    draw depends only on seed, index and the text's position in the episode.

    Attributes:
      sampler: samples episodes of distinct texts.
      variants: variants of the sampler's examples.
      rate: probability that a text that has variants is replaced.

    Raises:
      ValueError: if `rate` is not in [0, 1].

    Examples:
      >>> from metaflax.data.samplers._single_label import EpisodeSampler
      >>> texts = tuple(f"{n} {c}" for c in "ab" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts),
      ...                    variants=tuple((f"{t}!", f"{t}?") for t in texts))
      >>> variants = Variants.of(letters)
      >>> sampler = EpisodeSampler(letters, way=2, shot=1, queries=1)
      >>> episode = WithVariants(sampler, variants, rate=1.0).episode(0, 7)
      >>> [variants.texts[number] for number in episode.support]
      ['0 a?', '0 b?']

    References:
      Kumar et al., `Data Augmentation using Pre-trained Transformer Models
      <https://arxiv.org/abs/2003.02245>`_, 2020, for supervised learning. Departure:
      a variant replaces its text rather than being an additional example.
    """

    sampler: Sampler
    variants: Variants
    rate: float

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(
                f"texts are replaced by variants at a rate of {self.rate}; give 0 to 1."
            )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self.sampler.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`.

        Its support and query are indices into `variants.texts`.
        """
        episode = self.sampler.episode(seed, index)
        # A separate stream from the samplers'.
        rng = _pools.generator(seed, index, stream=4)
        support = self._replace_texts(episode.support, rng)
        return dataclasses.replace(
            episode, support=support, query=self._replace_texts(episode.query, rng)
        )

    def _replace_texts(
        self, numbers: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        draws, choices = rng.random((len(numbers), 2)).T
        counts = self.variants.counts[numbers]
        variants = self.variants.first[numbers] + (choices * counts).astype(np.int32)
        replaced = (draws < self.rate) & (counts > 0)
        return np.where(replaced, variants, numbers)
