"""Rematerialised inner steps: recomputed in the backward pass, to save memory."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from metaflax import inner


def rematerialized_phase(
    num_steps: int, value_and_grad: Callable[..., Any], remat_every: int | None
) -> inner.Phase:
    """Makes a phase that stores adapted parameters at every n-th step alone.

    Args:
      num_steps: number of steps of the phase.
      value_and_grad: makes the inner gradient.
      remat_every: steps per segment, which is recomputed when its derivative is taken;
        1 for each step alone, None to store whatever a derivative needs.

    Returns:
      The `Phase`.

    Raises:
      ValueError: if a segment has no step.
    """
    if remat_every is None:
        return inner.Phase(num_steps, value_and_grad)
    if remat_every < 1:
        raise ValueError(
            f"remat_every is the number of steps in a segment, got {remat_every};"
            " give 1 or more, or None to keep everything."
        )
    # Inside a scan nothing merges the second run with the first.
    wrap = functools.partial(jax.checkpoint, prevent_cse=False)
    return inner.Phase(num_steps, value_and_grad, wrap, segment=remat_every)
