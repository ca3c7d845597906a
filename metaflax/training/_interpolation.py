"""Part of the way back to the pretrained weights."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax


class Interpolated(NamedTuple):
    """A point between two sets of parameters.

    Attributes:
      params: `start + share * (end - start)`.
      share: how far along.
      score: its validation score.
    """

    params: Any
    share: float
    score: float


def interpolate(start: optax.Params, end: optax.Params, share: float) -> optax.Params:
    """The parameters `start + share * (end - start)`, leaf by leaf.

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
    """Picks how far to go from pretrained to meta-trained weights, on validation.

    Between the two the features of both are kept, which is often better on classes
    that neither saw, and costs no training.

    Args:
      start: the pretrained parameters.
      end: the meta-trained ones.
      shares: what to try; the first of equals is kept.
      validate: the validation score of parameters, more is better.

    Returns:
      The best point.

    Raises:
      ValueError: if there is nothing to try, or a share lies outside (0, 1].

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
