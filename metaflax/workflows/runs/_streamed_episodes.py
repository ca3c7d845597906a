"""Episodes whose texts are read from disk when they are sampled."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import base, data, tasks
from metaflax.config import Config
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.workflows.runs._buckets import coarse_up_to
from metaflax.workflows.runs._episodes import batches
from metaflax.workflows.runs._loaded_model import LoadedModel


class FromDisk(NamedTuple):
    """Episodes that a sampler draws from an index of texts on disk.

    Attributes:
      sampler: sampler of episodes.
      model: model whose tokenizer encodes the texts.
      config: config with the longest text and its truncation.
      form: form of the input texts.
      num_texts: number of texts that episodes are sampled from.
      description: description of the texts for a message.
      room: number of classes to pad to, if larger than that of the sampler.
    """

    sampler: data.MaskedWordSampler | data.LabelledTextSampler
    model: LoadedModel
    config: Config
    form: tasks.Form
    num_texts: int
    description: str
    room: int = 0

    @property
    def sizes(self) -> EpisodeSizes:
        """Size of the largest episode, with padded classes."""
        sizes = self.sampler.sizes
        return sizes._replace(num_classes=max(self.room, sizes.num_classes))

    @property
    def buckets(self) -> data.Buckets:
        """Shapes that batches are padded to."""
        return coarse_up_to(self.config.data.max_length)

    @property
    def num_shapes(self) -> int:
        """Largest number of distinct batch shapes."""
        _, num_support, num_queries = self.sizes
        return self.buckets.num_shapes(num_support, num_queries)

    def collate(
        self, episodes: Sequence[data.Episode], share: np.ndarray | None = None
    ) -> base.Task:
        """Stacks episodes as arrays of tokens, or a share of the stack."""
        return data.collate_lazy(
            episodes,
            self.sampler,
            self._tokenize,
            buckets=self.buckets,
            share=share,
            **self.sizes._asdict(),
        )

    def stream(
        self, seed: int, step: int, size: int, share: np.ndarray | None = None
    ) -> Iterator[base.Task]:
        """Yields the batches of `step` and all later ones, or a share of each."""
        return batches(self.sampler, self.collate, seed, step, size, share)

    def record(self) -> dict[str, Any]:
        """Returns the record of the texts, to tell when they change."""
        sampler = self.sampler
        return {
            "classes": sampler.class_names,
            "texts": self.num_texts,
            "digest": sampler.index.digest,
        }

    def summary(self, by: str) -> str:
        """Describes the texts for a message."""
        del by  # The description is the same for both.
        return self.description

    def _tokenize(self, texts: list[str]) -> data.TokenizedTexts:
        return data.tokenize(
            self.model.tokenizer,
            texts,
            max_length=self.config.data.max_length,
            form=self.form,
            on_long=self.config.data.on_long,
            max_positions=self.model.max_positions,
        )
