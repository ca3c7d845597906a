"""What adapting to one episode costs, in seconds and memory."""

import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from metaflax import evaluation, profiling, reporting
from metaflax.workflows.runs._evaluator import Evaluator

# Enough for an interval of the median that lies within the values.
REPETITIONS = 20


def adaptation_record(
    evaluator: Evaluator, params: Any, console: Console
) -> dict[str, Any]:
    """Measures adapting to the support set of the first episode, from its tokens.

    The texts are encoded anew each time, as they are of a task that comes once.

    Args:
      evaluator: of the episodes.
      params: to adapt from.
      console: gets a line.

    Returns:
      The record: `seconds`, the median of warm repetitions with its interval, and what
      XLA says of work and memory.
    """
    algorithm = evaluator.adapting
    stacked = evaluator.source.collate(evaluator.episodes[:1]).support
    support = jax.device_put(jax.tree.map(lambda leaf: leaf[0], stacked))

    def adapted(params: Any, support: Any) -> Any:
        return algorithm.adapt(params, support, None)[0]

    compiled = jax.jit(adapted).lower(params, support).compile()
    cost = profiling.cost(compiled)
    jax.block_until_ready(compiled(params, support))  # Warm from here on.
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(params, support))
        seconds.append(time.perf_counter() - start)
    median = evaluation.median_interval(np.array(seconds))
    console.print(
        f"adapting to an episode: {1000 * median.value:.1f} ms,"
        f" {reporting.memory(cost.peak)} of memory"
    )
    return {
        "repetitions": REPETITIONS,
        "device": jax.tree.leaves(params)[0].devices().pop().device_kind,
        "seconds": median._asdict(),
        **cost.record(),
    }
