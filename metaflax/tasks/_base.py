"""What a task type is: the meaning of what a model reads and puts out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Form

Metric = Callable[[Any, jax.Array, jax.Array], jax.Array]


class Truth(NamedTuple):
    """What is right for an example.

    Attributes:
      labels: the classes it carries, by which episodes are drawn and splits made.
      target: what a model should say, where that is not one of the labels.
    """

    labels: tuple[str, ...] = ()
    target: Any = None


def labels_of(fields: Fields) -> Truth:
    """One label, or several."""
    return Truth(labels=fields.names("label"))


def class_outputs(logits: jax.Array) -> base.ClassOutputs:
    """Logits `[U, N]` of as many classes, all of them present."""
    return base.ClassOutputs(logits, jnp.ones(logits.shape[-1], bool))


class TaskType(NamedTuple):
    """A kind of problem, apart from the algorithm that learns it.

    Attributes:
      kind: what its targets are, to be matched with `Head.serves`.
      loss: `loss(outputs, targets, weights)`, which adaptation and training descend.
      metrics: `metric(outputs, targets, weights)` by name; the first is the one
        that model selection follows, and more is better.
      decode: `answers = decode(outputs, names)`, one record a unit.
      form: what a model reads of an example.
      truth: `truth = truth(fields)`, what is right for an example, from its row.
      others: names of answers beside a task's own classes; their logits come last.
      complete: `head = complete(head)`, which adds these answers to a head.
      outputs: `outputs = outputs(logits)`, what the numbers `[U, N]` of a linear
        layer mean, one for each of a task's names and `others`.
    """

    kind: str
    loss: base.LossFn
    metrics: Mapping[str, Metric]
    decode: Callable[[Any, Sequence[str]], list[dict[str, Any]]]
    form: Form = TEXT
    truth: Callable[[Fields], Truth] = labels_of
    others: tuple[str, ...] = ()
    complete: Callable[[base.Head], base.Head] = lambda head: head
    outputs: Callable[[Any], Any] = class_outputs

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
