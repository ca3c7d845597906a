"""Features of many texts, encoded in batches of like length."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from metaflax import data
from metaflax.workflows.runs._loaded_model import LoadedModel

# Texts embedded in one call; sorted by length, so that little of it is padding.
EMBED_BATCH = 64


def embedder(model: LoadedModel):
    """Makes a function from texts to features that compiles once per bucket.

    Returns:
      `features = embed(params, tokenized, indices)`, float32 `[examples, D]`, zero
      for examples that are not in `indices`.
    """
    apply = jax.jit(model.encoder.apply)

    def embed(
        params: Any, tokenized: data.TokenizedTexts, indices: np.ndarray
    ) -> np.ndarray:
        features = np.zeros((len(tokenized), model.encoder.num_features), np.float32)
        for rows, encoded in _encoded(apply, params, tokenized, indices):
            features[rows] = encoded
        return features

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
        for chunk, encoded in _encoded(apply, params, tokenized, rows):
            for row, tokens in zip(chunk, encoded, strict=True):
                first, last = tokenized.offsets[row : row + 2]
                features[first:last] = tokens[: last - first]
        return features

    return embed


def _encoded(
    apply: Any, params: Any, tokenized: data.TokenizedTexts, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows of like length, and their features."""
    order = rows[np.argsort(tokenized.lengths[rows], kind="stable")]
    buckets = data.Buckets(budget_ratio=1.5)
    chunks = [
        order[start : start + EMBED_BATCH]
        for start in range(0, len(order), EMBED_BATCH)
    ]
    waiting: list[tuple[np.ndarray, Any]] = []
    for chunk in chunks:
        batch = data.collate_texts(tokenized, chunk, EMBED_BATCH, buckets)
        waiting.append((chunk, apply(params, batch)))
        if len(waiting) > 1:  # The device goes on while the host copies.
            done, encoded = waiting.pop(0)
            yield done, np.asarray(encoded)[: len(done)]
    for done, encoded in waiting:
        yield done, np.asarray(encoded)[: len(done)]
