"""What a task type is: the meaning of what a model reads and puts out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Form
from metaflax.tasks._text_level import TextLevel
from metaflax.tasks._token_level import TokenLevel

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
      classes: `classes = classes(names)`, what a head tells apart for a task's names,
        without `others`: the same by default.
      head_size: `head_size(way)`, for how many classes a head is made, which
        `complete` then completes.
      tokens: how targets and predictions of tokens are made; None for whole texts.
      texts: how texts are generated and scored; None where none are generated.
      target_kind: the `target_kinds.TargetKind` of its targets; None for the built-in
        one that `kind` names.
      none_of_the_above: whether queries may belong to no class of their episode.
      variants: whether meta-training may replace a text by a variant of it.
      on_disk: whether texts may stay on disk: of one text and one label a row.
      raw_text: whether classes are made of text without labels.
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
    classes: Callable[[Sequence[str]], Sequence[str]] = tuple
    head_size: Callable[[int], int] = lambda way: way
    tokens: TokenLevel | None = None
    texts: TextLevel | None = None
    target_kind: Any = None
    none_of_the_above: bool = False
    variants: bool = False
    on_disk: bool = False
    raw_text: bool = False

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of all that an episode is scored by, the first above all."""
        of_tokens = self.tokens.scores if self.tokens else ()
        of_texts = self.texts.scores if self.texts else ()
        return *of_tokens, *self.metrics, *of_texts

    def check_head(self, name: str, head: base.Head) -> None:
        """Refuses a head that does not understand this task type's targets.

        Raises:
          ValueError: with what the head serves.
        """
        kind = self.tokens.serves if self.tokens else self.kind
        if kind not in head.serves:
            raise ValueError(
                f"the head {name!r} serves targets of kind {sorted(head.serves)}, this"
                f" task type has {kind!r}; take another head."
            )
