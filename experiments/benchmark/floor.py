"""The least time that a meta-gradient can take: its matrix products, at full rate."""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, models


def needed_flops(
    method: str,
    config: models.BertConfig,
    tasks: base.Task,
    num_steps: int,
    *,
    reads_all: bool,
) -> float:
    """Operations of the matrix products that change the answer.

    Real tokens only, and of the last layer only what the head reads. In units of a
    forward pass a gradient takes 3, and one that is differentiated again 9.

    Args:
      method: one of `methods.NAMES`.
      config: of the network.
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
      num_steps: inner steps of the encoder.
      reads_all: whether the head reads all tokens of a text, or the first.
    """
    support, query = (
        _forward(config, np.asarray(part.inputs.mask).sum(-1), reads_all)
        for part in tasks
    )
    inner = {"fomaml": 3 * num_steps, "maml": 9 * num_steps}.get(method, 3)
    return inner * support + 3 * query


def _forward(config: models.BertConfig, lengths: np.ndarray, reads_all: bool) -> float:
    """A forward pass over texts of so many tokens each."""
    width, wide = config.hidden_size, config.intermediate_size
    rows, texts = lengths.sum(), lengths.size
    pairs = np.square(lengths).sum()
    projection, mlp = 2 * width * width, 4 * width * wide
    layer = rows * (4 * projection + mlp) + 4 * width * pairs
    last = (
        layer
        if reads_all
        else 2 * rows * projection + texts * (2 * projection + mlp) + 4 * width * rows
    )
    return float((config.num_hidden_layers - 1) * layer + last)


def matrix_rate(size: int = 2048, repeats: int = 7, dtype: str = "float32") -> float:
    """Operations a second of a matrix product, the median."""
    key = jax.random.key(0)
    a, b = jax.random.normal(key, (2, size, size), dtype)
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready(multiply(a, b))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, b))
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds)
