"""Which member of a mixture of data sets each step of a run trains."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from metaflax.data.samplers import _pools


def temperature_weights(
    sizes: Mapping[str, int], temperature: float
) -> dict[str, float]:
    r"""How often data sets of different sizes are drawn from.

    A set of :math:`n` examples has the weight :math:`n^{1/T}`: a temperature of 1
    draws every example equally often, a high one every set.

    Args:
      sizes: examples by set.
      temperature: T, above 0.

    Returns:
      Weights by set, which sum to 1.

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
            raise ValueError(f"{name!r} has {size} examples, and there must be one.")
    # Of shares, since the power of a large size may be no float.
    largest = max(sizes.values(), default=1)
    powers = {name: (n / largest) ** (1 / temperature) for name, n in sizes.items()}
    whole = sum(powers.values())
    return {name: power / whole for name, power in powers.items()}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A draw of one member for every step, which has no state.

    Attributes:
      weights: by member, how often a step is its, beside those of the others; 0 for
        never.
      spans: by member, the shares of the run between which it takes part.
      num_steps: of the run.

    Raises:
      ValueError: if a weight is negative or not finite, a span is empty or not within
        0 and 1, or there is a step in which no member takes part.

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
        # Whoever takes part changes where a span begins or ends, nowhere else.
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
        whole = sum(weights.values())
        return {name: weight / whole for name, weight in weights.items()}

    def probabilities(self, step: int) -> dict[str, float]:
        """How likely a step is each member's."""
        return self._probabilities_at(step / self.num_steps)

    def shares(self) -> dict[str, float]:
        """Which share of all steps is each member's, as far as one can expect."""
        edges = {0.0, 1.0, *itertools.chain(*self.spans.values())}
        found = dict.fromkeys(self.weights, 0.0)
        for start, end in itertools.pairwise(sorted(edges)):
            for name, probability in self._probabilities_at(start).items():
                found[name] += probability * (end - start)
        return found

    def member(self, seed: int, step: int) -> str:
        """Whose step this is, the same always for a seed and a step.

        Raises:
          ValueError: if the run has no such step.
        """
        if not 0 <= step < self.num_steps:
            raise ValueError(f"there is no step {step} of {self.num_steps}.")
        likely = {n: p for n, p in self.probabilities(step).items() if p}
        edges = np.cumsum(list(likely.values()))
        drawn = _pools.generator(seed, step, stream=3).random() * edges[-1]
        place = int(np.searchsorted(edges, drawn, side="right"))
        return list(likely)[place]
