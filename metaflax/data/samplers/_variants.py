"""Episodes that read some texts as variants of them."""

import dataclasses
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes, Sampler
from metaflax.data.sources._examples import Examples


class Variants(NamedTuple):
    """Texts and the variants of each, numbered together.

    Attributes:
      texts: the texts of the examples in their order, then all variants.
      first: int32 `[E]`, the number of each example's first variant.
      counts: int32 `[E]`, how many it has; they follow the first.

    Examples:
      >>> pets = Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)),
      ...                 variants=(("he barks",), ("he purrs", "it barks")))
      >>> found = Variants.of(pets)
      >>> found.texts, found.counts.tolist()  # "it barks" is a text itself.
      (('it barks', 'it purrs', 'he barks', 'he purrs'), [1, 1])
    """

    texts: tuple[Hashable, ...]
    first: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, examples: Examples) -> "Variants":
        """Those of examples that have them.

        A variant that another text has too, as its variant or as itself, is left to
        that text: so different texts of an episode are read differently.
        """
        variants = examples.variants or ((),) * len(examples)
        owner: dict[Hashable, Hashable] = {text: text for text in examples.texts}
        texts: list[Hashable] = list(examples.texts)
        first, counts = np.zeros((2, len(examples)), np.int32)
        for number, (text, own) in enumerate(
            zip(examples.texts, variants, strict=True)
        ):
            first[number] = len(texts)
            texts += [
                variant
                for variant in dict.fromkeys(own)
                if variant != text and owner.setdefault(variant, text) == text
            ]
            counts[number] = len(texts) - first[number]
        return cls(tuple(texts), first, counts)


@dataclasses.dataclass(frozen=True)
class WithVariants:
    """Reads the texts of a sampler's episodes as themselves or as variants of them.

    The episodes are the sampler's own: which texts meet does not depend on `rate`, and
    no text meets a variant of itself, since it is drawn once. Each text by itself is
    read as one of its variants with probability `rate`, all of them alike. What was
    drawn depends on seed, index and the text's position in the episode alone.

    Attributes:
      sampler: draws episodes, in which no text comes twice.
      variants: of the sampler's examples.
      rate: how likely a text that has variants is read as one of them.

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
      <https://arxiv.org/abs/2003.02245>`_, 2020, of supervised learning. Departure: a
      variant takes its text's place rather than being one more example.
    """

    sampler: Sampler
    variants: Variants
    rate: float

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(
                f"texts are read as variants at a rate of {self.rate}; give 0 to 1."
            )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self.sampler.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names.

        Its support and query are numbers of `variants.texts`.
        """
        episode = self.sampler.episode(seed, index)
        # Of another stream than the samplers' own.
        rng = _pools.generator(seed, index, stream=4)
        support = self._read(episode.support, rng)
        return dataclasses.replace(
            episode, support=support, query=self._read(episode.query, rng)
        )

    def _read(self, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        fate, which = rng.random((len(numbers), 2)).T
        counts = self.variants.counts[numbers]
        chosen = self.variants.first[numbers] + (which * counts).astype(np.int32)
        varied = (fate < self.rate) & (counts > 0)
        return np.where(varied, chosen, numbers)
