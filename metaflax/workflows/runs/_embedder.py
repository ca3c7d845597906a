"""Features of many texts, encoded in batches of like length."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from metaflax import data
from metaflax.workflows.runs._length_batches import LengthBatches, encoded, in_order
from metaflax.workflows.runs._loaded_model import LoadedModel

# Number of tokens per call of the encoder.
EMBED_TOKENS = 1024


def embedder(model: LoadedModel):
    """Makes a function from texts to features that compiles few shapes.

    Returns:
      `features = embed(params, tokenized, indices)`, float32 `[examples, D]`, or
      `[examples, N, D]` of choices, zero for examples that are not in `indices`.
    """
    apply = jax.jit(model.encoder.apply)

    def embed(
        params: Any, tokenized: data.TokenizedTexts, indices: np.ndarray
    ) -> np.ndarray:
        batches = _encoded(apply, params, tokenized, indices)
        return in_order(batches, len(tokenized), model.encoder.num_features)

    return embed


def token_embedder(model: LoadedModel):
    """Makes a function from texts to features of tokens, concatenated as their ids.

    Returns:
      `features = embed(params, tokenized, rows)`, float32 `[sum of lengths, D]`, zero
      for rows that are not in `rows`.
    """
    apply = jax.jit(model.encoder.apply)

    def embed(
        params: Any, tokenized: data.TokenizedTexts, rows: np.ndarray
    ) -> np.ndarray:
        size = (len(tokenized.flat), model.encoder.num_features)
        features = np.zeros(size, np.float32)
        for part, chunk in _encoded(apply, params, tokenized, rows):
            for row, tokens in zip(part, chunk, strict=True):
                first, last = tokenized.offsets[row : row + 2]
                features[first:last] = tokens[: last - first]
        return features

    return embed


def _encoded(
    apply: Any, params: Any, tokenized: data.TokenizedTexts, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    longest = int(tokenized.widths[rows].max(initial=1))
    batches = LengthBatches.up_to(longest, EMBED_TOKENS)
    return encoded(functools.partial(apply, params), tokenized, rows, batches)
