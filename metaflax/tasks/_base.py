"""The interface of task types: inputs, targets, loss, metrics and decoding."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Form
from metaflax.tasks._templates import Template, written_form
from metaflax.tasks._text_level import TextLevel
from metaflax.tasks._token_level import TokenLevel

Metric = Callable[[Any, jax.Array, jax.Array], jax.Array]


class Remark(NamedTuple):
    """A remark about a row: a conversion on reading it, or something unusual in it.

    Attributes:
      what: a plural noun phrase and a verb, such as "entities are widened".
      example: the case at hand.
    """

    what: str
    example: str


class GoldLabel(NamedTuple):
    """Gold label of an example.

    Attributes:
      labels: the classes it carries, by which episodes are drawn and splits made.
      target: the target of prediction, where that is not one of the labels.
      remarks: remarks about conversions on reading it.
    """

    labels: tuple[str, ...] = ()
    target: Any = None
    remarks: tuple[Remark, ...] = ()


def labels_of(fields: Fields) -> GoldLabel:
    """Reads one label, or several, from the column of labels."""
    return GoldLabel(labels=fields.names("label"))


def several_labels_of(fields: Fields) -> GoldLabel:
    """Reads the list of labels of a text; see `Fields.several_names`."""
    return GoldLabel(labels=fields.several_names("label"))


def class_outputs(logits: jax.Array) -> base.ClassOutputs:
    """Wraps logits `[U, N]` of N classes, all of them present."""
    return base.ClassOutputs(logits, np.ones(logits.shape[-1], bool))


class TaskType(NamedTuple):
    """A kind of problem, apart from the algorithm that learns it.

    Attributes:
      kind: the kind of its targets, matched with `Head.serves`.
      loss: `loss(outputs, targets, weights)`, minimised by adaptation and training.
      metrics: `metric(outputs, targets, weights)` by name; the first is the one
        that model selection follows, and more is better.
      decode: `predictions = decode(outputs, names)`, one record a unit.
      form: the form of its inputs.
      gold_label: `gold_label = gold_label(fields)`, of an example, from its row.
      others: names of further outputs, such as "none of the above"; their logits come
        after those of a task's classes.
      complete: `head = complete(head)`, which adds these outputs to a head.
      outputs: `outputs = outputs(logits)`, from the logits `[U, N]` of a linear layer,
        one for each of a task's names and `others`.
      classes: `classes = classes(names)`, the classes of a head for a task's names,
        without `others`: the same by default.
      head_size: `head_size(way)`, the number of classes of a head before `complete`.
      tokens: how targets and predictions of tokens are made; None for whole texts.
      texts: how texts are generated and scored; None where none are generated.
      target_kind: the `target_kinds.TargetKind` of its targets; None for the built-in
        one that `kind` names.
      none_of_the_above: whether queries may belong to no class of their episode.
      variants: whether meta-training may replace a text by a variant of it.
      on_disk: whether texts may stay on disk: of one text and one label a row.
      raw_text: whether classes are made of text without labels.
      select_by: the score that model selection follows; None for the first.
      template: the template that writes an example with its class or choice, whose
        likelihoods a generative model compares; None for encoders.
      written_by_default: whether a generative model takes the built-in template of the
        task type's name where none is named, whatever the algorithm.
      describe: `prediction = describe(text, prediction)`, adds fields from its text to
        a decoded prediction.

    Examples:
      >>> from metaflax import tasks
      >>> task = tasks.regression()
      >>> task.kind, task.scores
      ('numbers', ('pearson', 'spearman', 'mse'))
      >>> task._replace(select_by="spearman").scores[0]
      'spearman'
    """

    kind: str
    loss: base.LossFn
    metrics: Mapping[str, Metric]
    decode: Callable[[Any, Sequence[str]], list[dict[str, Any]]]
    form: Form = TEXT
    gold_label: Callable[[Fields], GoldLabel] = labels_of
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
    select_by: str | None = None
    template: Template | None = None
    written_by_default: bool = False
    describe: Callable[[Any, dict[str, Any]], dict[str, Any]] = (
        lambda text, prediction: prediction
    )

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the scores of an episode; model selection follows the first."""
        of_tokens = self.tokens.scores if self.tokens else ()
        of_texts = self.texts.scores if self.texts else ()
        names = (*of_tokens, *self.metrics, *of_texts)
        if self.select_by is None:
            return names
        return self.select_by, *(name for name in names if name != self.select_by)

    def written(self, template: Template) -> "TaskType":
        """Returns the task type whose examples a template writes.

        Raises:
          ValueError: if the template does not write examples of this task type.
        """
        if self.kind in ("classes", "choices") and self.tokens is None:
            return self._written_choices(template)
        if self.texts is None or self.texts.source_form is None:
            raise ValueError(
                "a template writes the input and the text to generate of an example,"
                " and this task type does not have both; leave the template out."
            )
        inputs = {role for _, role in template.parts("prompt") if role}
        if template.roles() - inputs != {"target"} or "target" in inputs:
            raise ValueError(
                f"the template has the target {template.target!r}; that of a text to"
                " generate holds {target} alone, such as ' {target}'."
            )
        level = self.texts._replace(
            source_form=written_form(self.texts.source_form, template),
            pair=lambda text, target: (text, template.target.format(target=target)),
            end=template.end,
            begins=False,
        )
        return self._replace(texts=level)

    def _written_choices(self, template: Template) -> "TaskType":
        """Returns the task type that compares the likelihoods of classes or choices."""
        if self.others or self.raw_text:
            raise ValueError(
                "a template writes the classes of an episode, and this task type has"
                " others, or none with a name; leave the template out."
            )
        roles = template.roles()
        known = {*self.form.required, "label"} - {"choices"}
        if "label" not in roles or roles - known:
            names = ", ".join(f"{{{role}}}" for role in sorted(known))
            raise ValueError(
                f"the template writes {', '.join(sorted(roles))}, and one of this task"
                f" type writes {{label}}, and may write {names}."
            )
        return self._replace(template=template, variants=False, on_disk=False)

    @property
    def is_generative(self) -> bool:
        """Whether the model generates texts, or compares their likelihoods."""
        return self.texts is not None or self.template is not None

    def check_head(self, name: str, head: base.Head) -> None:
        """Checks that a head serves this task type's kind of targets.

        Raises:
          ValueError: if it does not, with the kinds that it serves.
        """
        kind = self.tokens.serves if self.tokens else self.kind
        # A head of tokens may also serve the one kind of targets of tokens alone.
        if not head.serves & {kind, self.kind}:
            raise ValueError(
                f"the head {name!r} serves targets of kind {sorted(head.serves)}, this"
                f" task type has {kind!r}; take another head."
            )
