"""An encoder in memory, with its tokenizer and compiled programs."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import data, models, tasks, tree
from metaflax.tree._paths import is_empty
from metaflax.workflows.runs._length_batches import (
    TOKENS_PER_TEXT,
    LengthBatches,
    Shape,
    encoded,
    in_order,
)
from metaflax.workflows.runs._loaded_model import LoadedModel


class Encoded(NamedTuple):
    """Features of texts.

    Attributes:
      features: `[U, D]`.
      coverage: `[U, 2]`, numbers of tokens of each text that were encoded, and in all.
    """

    features: np.ndarray
    coverage: np.ndarray

    def of(self, rows: Any) -> "Encoded":
        """Returns the features of some texts."""
        return Encoded(self.features[rows], self.coverage[rows])

    def followed_by(self, other: "Encoded") -> "Encoded":
        """Returns the features of these texts, then those of others."""
        return Encoded(*map(np.concatenate, zip(self, other, strict=True)))


class TextEncoder:
    """Encodes texts in batches by length, of few shapes that are compiled once.

    Args:
      model: network and tokenizer.
      params: parameters of the encoder.
      form: the form of the texts.
      max_length: largest number of tokens of a text; longer texts are truncated.
      batch_size: number of texts of 32 tokens per call of the network; more shorter
        texts are batched, and fewer longer ones.
    """

    def __init__(
        self,
        model: LoadedModel,
        params: Any,
        form: tasks.Form,
        max_length: int,
        batch_size: int = 32,
    ):
        self.model, self.params, self.form = model, params, form
        self.max_length, self.batch_size = max_length, batch_size
        self.num_features = model.encoder.num_features
        self.batches = LengthBatches.up_to(
            form.row_length(max_length), batch_size * TOKENS_PER_TEXT
        )
        self._apply = jax.jit(model.encoder.apply)

    def encode(self, texts: Sequence[Any], adapted: Any = None) -> Encoded:
        """Encodes any number of texts.

        Args:
          texts: texts of the form.
          adapted: leaves that replace those of the encoder (default: none).

        Returns:
          Their features.
        """
        tokenized = self.tokenize(texts)
        batches = self.in_batches(tokenized, adapted)
        features = in_order(batches, len(texts), self.num_features)
        return Encoded(features, coverage_of(tokenized))

    def num_tokens(self, texts: Sequence[Any]) -> np.ndarray:
        """Counts the encoded tokens of texts, `[U]`."""
        return self.tokenize(texts).lengths

    def num_together(self, lengths: np.ndarray) -> int:
        """Counts the first texts of `lengths` tokens for a batch shared by requests.

        A quarter of a full batch takes the same time per text, with less delay for
        later requests.
        """
        return self.batches.num_together(lengths, self.batches.num_tokens // 4)

    def tokenize(self, texts: Sequence[Any]) -> data.TokenizedTexts:
        """Tokenizes texts, truncated to the longest that the model takes."""
        return data.tokenize(
            self.model.tokenizer,
            texts,
            max_length=self.max_length,
            form=self.form,
            on_long="truncate",
            max_positions=self.model.family.max_positions(self.model.pretrained.config),
        )

    def in_batches(
        self, tokenized: data.TokenizedTexts, adapted: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields rows of similar length, and their features `[R, ...]`."""
        params = self.params
        if not is_empty(adapted):
            params = tree.merge(adapted, params)
        apply = functools.partial(self._apply, params)
        return encoded(apply, tokenized, np.arange(len(tokenized)), self.batches)

    def warm_up(self, text: Any) -> int:
        """Compiles every shape that texts can have.

        Args:
          text: any text of the form.

        Returns:
          The number of shapes.
        """
        like, shapes = self.tokenize([text]), self.batches.shapes()
        for shape in shapes:
            jax.block_until_ready(self._apply(self.params, _blank(shape, like)))
        return len(shapes)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, in hex."""
        digest = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.params):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{tree.path_name(path)} {array.shape} ".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def coverage_of(tokenized: data.TokenizedTexts) -> np.ndarray:
    """Counts the encoded tokens and all tokens of each text, `[U, 2]`."""
    if tokenized.coverage is None:
        return np.stack([tokenized.lengths, tokenized.lengths], axis=-1)
    return tokenized.coverage


def _blank(shape: Shape, like: data.TokenizedTexts) -> models.Tokens:
    """Makes a batch of one-token texts with the optional parts of another batch."""
    ids = np.zeros((shape.num_rows, shape.length), np.int32)
    mask = np.zeros_like(ids)
    mask[:, 0] = 1
    packed = np.full(shape.num_tokens, ids.size, np.int32)
    real = np.flatnonzero(mask)[: shape.num_tokens]
    packed[: len(real)] = real
    marks = None
    if like.marks is not None:
        marks = np.zeros((shape.num_rows, like.marks.shape[1]), np.int32)
    types = None if like.types is None else np.zeros_like(ids)
    return models.Tokens(ids, types, mask, packed, marks)
