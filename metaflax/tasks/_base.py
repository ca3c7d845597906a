"""What a task type is: the meaning of a model's outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from metaflax import base

Metric = Callable[[Any, jax.Array, jax.Array], jax.Array]


class TaskType(NamedTuple):
    """A kind of problem, apart from the algorithm that learns it.

    Attributes:
      kind: what its targets are, to be matched with `Head.serves`.
      loss: `loss(outputs, targets, weights)`, which adaptation and training descend.
      metrics: `metric(outputs, targets, weights)` by name; the first is the one
        that model selection follows, and more is better.
      decode: `answers = decode(outputs, names)`, one record a unit.
    """

    kind: str
    loss: base.LossFn
    metrics: Mapping[str, Metric]
    decode: Callable[[base.ClassOutputs, Sequence[str]], list[dict[str, Any]]]

    def check_head(self, name: str, head: base.Head) -> None:
        """Refuses a head that does not understand this task type's targets.

        Raises:
          ValueError: with what the head serves.
        """
        if self.kind not in head.serves:
            raise ValueError(
                f"the head {name!r} serves targets of kind {sorted(head.serves)}, this"
                f" task type has {self.kind!r}; take another head."
            )
