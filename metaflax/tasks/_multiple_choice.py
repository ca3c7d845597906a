"""Questions with choices, of which one is right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import base
from metaflax.tasks._base import GoldLabel, TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, encode_texts


class ChoiceQuestion(NamedTuple):
    """A text, which may end in a question, and its choices."""

    text: str
    choices: tuple[str, ...]


def read_question(fields: Fields) -> ChoiceQuestion:
    """Reads the text and the list of choices, two or more.

    Raises:
      ValueError: for fewer choices, or two that are equal.
    """
    column = fields.column("choices")
    choices = tuple(
        Fields({column: item if isinstance(item, str) else str(item)}, fields.place)
        .text(column)
        .strip()
        for item in fields.items("choices")
    )
    if len(choices) < 2:
        raise fields.refused(
            "choices", "holds fewer than two choices; give a list, in CSV as JSON."
        )
    if len(set(choices)) < len(choices):
        raise fields.refused("choices", "holds a choice twice; choices must differ.")
    return ChoiceQuestion(fields.text("text"), choices)


def read_choice(fields: Fields) -> GoldLabel:
    """Reads the right choice: its number from 0 on, or its text.

    Raises:
      ValueError: if there is no such choice.
    """
    choices, label = read_question(fields).choices, fields.name("label")
    if label in choices:
        return GoldLabel(target=choices.index(label))
    if label.isdecimal() and int(label) < len(choices):
        return GoldLabel(target=int(label))
    raise fields.refused(
        "label",
        f"is {label!r:.60}, and the row has {len(choices)} choices; give the text of"
        f" one, or its number from 0 to {len(choices) - 1}.",
    )


def _encode(
    tokenizer: Any, questions: Sequence[ChoiceQuestion], max_length: int | None
) -> Encoded:
    return encode_texts(tokenizer, [q.text for q in questions], max_length)


CHOICES = Form(
    name="choices",
    required=("text", "choices"),
    read=read_question,
    row=lambda question: {"text": question.text, "choices": list(question.choices)},
    encode=_encode,
)


def multiple_choice() -> TaskType:
    """Multiple choice, for generative models: the likeliest of a row's choices.

    The number of choices may differ by row. A domain, such as a source, is a task.

    Returns:
      A `TaskType` whose targets are numbers of choices `[U]`.

    Examples:
      >>> from metaflax.tasks import Fields, multiple_choice
      >>> row = Fields({"text": "Wet because?", "choices": ["It rains.", "It shines."],
      ...               "label": 0}, "a.jsonl:1")
      >>> task = multiple_choice()
      >>> task.form.read(row).choices, task.gold_label(row).target
      (('It rains.', 'It shines.'), 0)

    References:
      Brown et al., `Language Models are Few-Shot Learners
      <https://arxiv.org/abs/2005.14165>`_, 2020, section 2.4, where likelihoods choose.
    """
    return classification()._replace(
        kind="choices",
        form=CHOICES,
        gold_label=read_choice,
        decode=decode_choices,
        variants=False,
        on_disk=False,
        only_generative=True,
    )


def decode_choices(
    outputs: base.ClassOutputs, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the number of the likeliest choice of each text."""
    del names
    return [{"label": int(row.argmax())} for row in np.asarray(outputs.logits)]
