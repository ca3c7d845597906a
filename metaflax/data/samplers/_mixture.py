"""Mixtures of data sets, one of which is drawn for every training step."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from metaflax.data.samplers import _pools


def temperature_weights(
    sizes: Mapping[str, int], temperature: float
) -> dict[str, float]:
    r"""Computes temperature-scaled sampling weights of data sets.

    A data set of :math:`n` examples has the weight :math:`n^{1/T}`, normalised. At
    temperature 1 all examples are equally likely; at a high temperature all data sets
    are.

    Args:
      sizes: number of examples by data set.
      temperature: T, above 0.

    Returns:
      Weights by data set, which sum to 1.

    Raises:
      ValueError: if a size or the temperature is not above 0.

    Examples:
      >>> temperature_weights({"large": 900, "small": 100}, 2.0)
      {'large': 0.75, 'small': 0.25}

    References:
      Arivazhagan et al., `Massively Multilingual Neural Machine Translation in the
      Wild <https://arxiv.org/abs/1907.05019>`_, 2019; Raffel et al., `Exploring the
      Limits of Transfer Learning <https://arxiv.org/abs/1910.10683>`_, 2020.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; give a number above 0.")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name!r} has {size} examples; give one at least.")
    # Scaled by the largest size, since powers of large sizes may overflow.
    largest = max(sizes.values(), default=1)
    powers = {name: (n / largest) ** (1 / temperature) for name, n in sizes.items()}
    total = sum(powers.values())
    return {name: power / total for name, power in powers.items()}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Stateless sampler of one member of a mixture for every training step.

    Attributes:
      weights: relative sampling weight by member; 0 for never.
      spans: (start, end) by member, the shares of the run between which it takes part.
      num_steps: number of steps of the run.

    Raises:
      ValueError: if a weight is negative or not finite, a span is empty or not within
        0 and 1, or no member takes part in some step.

    Examples:
      >>> spans = {"words": (0.0, 1.0), "intents": (0.5, 1.0)}
      >>> mixture = Mixture({"words": 3.0, "intents": 1.0}, spans, num_steps=100)
      >>> mixture.probabilities(0)
      {'words': 1.0, 'intents': 0.0}
      >>> mixture.probabilities(50)
      {'words': 0.75, 'intents': 0.25}
      >>> mixture.shares()
      {'words': 0.875, 'intents': 0.125}
    """

    weights: Mapping[str, float]
    spans: Mapping[str, tuple[float, float]]
    num_steps: int

    def __post_init__(self):
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(
                    f"the weight of {name!r} is {weight}; give a number of 0 or more."
                )
        for name, (start, end) in self.spans.items():
            if not 0 <= start < end <= 1:
                raise ValueError(
                    f"{name!r} takes part from {start} to {end} of the run; give"
                    " shares from 0 to 1, the first below the second."
                )
        if not sum(self.weights.values()):
            raise ValueError(
                f"the weights of {', '.join(map(repr, self.weights))} sum to 0; give"
                " one of them a weight."
            )
        # The members that take part change only where a span starts or ends.
        for share in sorted({0.0, *(end for _, end in self.spans.values())}):
            if share < 1 and not any(self._weights_at(share).values()):
                raise ValueError(
                    f"no member takes part after {share:g} of the run; let another"
                    " start earlier or end later."
                )

    def _weights_at(self, share: float) -> dict[str, float]:
        return {
            name: weight if self.spans[name][0] <= share < self.spans[name][1] else 0.0
            for name, weight in self.weights.items()
        }

    def _probabilities_at(self, share: float) -> dict[str, float]:
        weights = self._weights_at(share)
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def probabilities(self, step: int) -> dict[str, float]:
        """Computes the probability of each member at a step."""
        return self._probabilities_at(step / self.num_steps)

    def shares(self) -> dict[str, float]:
        """Computes the expected share of all steps of each member."""
        edges = {0.0, 1.0, *itertools.chain(*self.spans.values())}
        expected = dict.fromkeys(self.weights, 0.0)
        for start, end in itertools.pairwise(sorted(edges)):
            for name, probability in self._probabilities_at(start).items():
                expected[name] += probability * (end - start)
        return expected

    def member(self, seed: int, step: int) -> str:
        """Samples the member of a step, deterministically in seed and step.

        Raises:
          ValueError: if the run has no such step.
        """
        if not 0 <= step < self.num_steps:
            raise ValueError(f"there is no step {step} of {self.num_steps}.")
        nonzero = {n: p for n, p in self.probabilities(step).items() if p}
        cumulative = np.cumsum(list(nonzero.values()))
        draw = _pools.generator(seed, step, stream=3).random() * cumulative[-1]
        position = int(np.searchsorted(cumulative, draw, side="right"))
        return list(nonzero)[position]
