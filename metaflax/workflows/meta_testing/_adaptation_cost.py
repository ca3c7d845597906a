"""Time and memory of adaptation to one episode."""

import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from metaflax import evaluation, profiling
from metaflax.reporting._costs import memory
from metaflax.workflows.runs._evaluator import Evaluator

# Enough for a median interval whose ends are order statistics of the sample.
REPETITIONS = 20


def adaptation_record(
    evaluator: Evaluator, params: Any, console: Console
) -> dict[str, Any]:
    """Measures adaptation to the support set of the first episode, from its tokens.

    Each repetition encodes the texts again, as for a task that is seen once.

    Args:
      evaluator: evaluator of the episodes.
      params: meta-parameters to adapt.
      console: console that prints one line.

    Returns:
      The record: `seconds`, the median over repetitions after a warm-up with its
      interval, and XLA's estimates of operations and memory.
    """
    algorithm = evaluator.adapting
    stacked = evaluator.source.collate(evaluator.episodes[:1]).support
    support = jax.device_put(jax.tree.map(lambda leaf: leaf[0], stacked))

    def adapt(params: Any, support: Any) -> Any:
        return algorithm.adapt(params, support, None)[0]

    compiled = jax.jit(adapt).lower(params, support).compile()
    cost = profiling.cost(compiled)
    jax.block_until_ready(compiled(params, support))  # Warm-up.
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(params, support))
        seconds.append(time.perf_counter() - start)
    median = evaluation.median_interval(np.array(seconds))
    console.print(
        f"adaptation to an episode: {1000 * median.value:.1f} ms,"
        f" {memory(cost.peak)} of memory"
    )
    return {
        "repetitions": REPETITIONS,
        "device": jax.tree.leaves(params)[0].devices().pop().device_kind,
        "seconds": median._asdict(),
        **cost.record(),
    }
