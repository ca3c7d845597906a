"""Interpolation between pretrained and meta-trained parameters."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax


class Interpolated(NamedTuple):
    """Interpolated parameters.

    Attributes:
      params: `start + share * (end - start)`.
      share: between 0 (start) and 1 (end).
      score: their validation score.
    """

    params: Any
    share: float
    score: float


def interpolate(start: optax.Params, end: optax.Params, share: float) -> optax.Params:
    """Computes `start + share * (end - start)`, leaf by leaf.

    Examples:
      >>> interpolate({"w": 1.0}, {"w": 3.0}, 0.75)
      {'w': 2.5}
    """
    return jax.tree.map(lambda a, b: a + share * (b - a), start, end)


def best_interpolation(
    start: optax.Params,
    end: optax.Params,
    shares: Sequence[float],
    validate: Callable[[Any], float],
) -> Interpolated:
    """Selects the interpolation towards meta-trained parameters by validation.

    Interpolated parameters keep features of both ends, are often better on unseen
    classes, and need no training.

    Args:
      start: pretrained parameters.
      end: meta-trained parameters.
      shares: candidate shares; the first one is selected in a tie.
      validate: `score = validate(params)`, higher is better.

    Returns:
      The interpolated parameters with the best score.

    Raises:
      ValueError: if there are no candidates, or one lies outside (0, 1].

    References:
      Wortsman et al., `Robust fine-tuning of zero-shot models
      <https://arxiv.org/abs/2109.01903>`_, 2022.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares lie above 0 and up to 1, got {tuple(shares)}.")

    def at(share: float) -> Interpolated:
        params = end if share == 1 else interpolate(start, end, share)
        return Interpolated(params, share, validate(params))

    return max(map(at, shares), key=lambda point: point.score)
