"""Lower bound on the time of a meta-gradient: its matrix products at full rate."""

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
    """Counts floating-point operations of the matrix products that are necessary.

    Only real tokens count, and of the last layer only what the head takes as input. A
    gradient costs 3 forward passes, and one that is differentiated again 9.

    Args:
      method: one of `methods.NAMES`.
      config: config of the network.
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
      num_steps: inner steps of the encoder.
      reads_all: whether the head takes all tokens of a text as input, or the first.
    """
    support, query = (
        _forward(config, np.asarray(part.inputs.mask).sum(-1), reads_all)
        for part in tasks
    )
    inner = {"fomaml": 3 * num_steps, "maml": 9 * num_steps}.get(method, 3)
    return inner * support + 3 * query


def _forward(config: models.BertConfig, lengths: np.ndarray, reads_all: bool) -> float:
    """Counts operations of a forward pass over texts of the given lengths."""
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
    """Measures the operations a second of a matrix product (median)."""
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
