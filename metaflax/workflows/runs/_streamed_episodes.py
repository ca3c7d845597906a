"""Endless episodes of texts that stay on disk until they are drawn."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from metaflax import base, data, tasks
from metaflax.config import Config, EpisodeConfig
from metaflax.workflows.runs._episodes import batches, coarse_up_to
from metaflax.workflows.runs._loaded_model import LoadedModel


class FromDisk(NamedTuple):
    """The episodes that a sampler draws of an index.

    Attributes:
      sampler: draws them.
      model: its tokenizer reads them.
      config: how long a text may be.
      form: how a text is encoded.
      num_texts: how many texts they are drawn from.
      said: what there is, for a message.
      room: for how many classes there is room, where that is more than they have.
    """

    sampler: data.MaskedWordSampler | data.LabelledTextSampler
    model: LoadedModel
    config: Config
    form: tasks.Form
    num_texts: int
    said: str
    room: int = 0

    @property
    def sizes(self) -> data.EpisodeSizes:
        """The largest episode, with the room that there is for classes."""
        sizes = self.sampler.sizes
        return sizes._replace(num_classes=max(self.room, sizes.num_classes))

    @property
    def buckets(self) -> data.Buckets:
        """The shapes that episodes are padded to."""
        return coarse_up_to(self.config.data.max_length)

    @property
    def num_shapes(self) -> int:
        """How many shapes batches have at most."""
        _, num_support, num_queries = self.sizes
        return self.buckets.num_shapes(num_support, num_queries)

    def collate(
        self, episodes: Sequence[data.Episode], share: np.ndarray | None = None
    ) -> base.Task:
        """A stack of episodes as arrays of tokens, or a share of one."""
        return data.collate_shown(
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
        """The batches of `step` and all later ones, or a share of each."""
        return batches(self.sampler, self.collate, seed, step, size, share)

    def summary(self, by: str) -> str:
        """What there is, for a message."""
        del by  # There is one way to say it.
        return self.said

    def _tokenize(self, texts: list[str]) -> data.TokenizedTexts:
        return data.tokenize(
            self.model.tokenizer,
            texts,
            max_length=self.config.data.max_length,
            form=self.form,
            on_long=self.config.data.on_long,
            max_positions=self.model.pretrained.config.max_position_embeddings,
        )


def most(count: int | tuple[int, int]) -> int:
    """The most of a number, or of (least, most)."""
    return count if isinstance(count, int) else count[1]


def texts_of_a_class(sizes: EpisodeConfig) -> int:
    """The most texts that an episode takes of one of its classes."""
    return most(sizes.shot) + most(sizes.queries)
