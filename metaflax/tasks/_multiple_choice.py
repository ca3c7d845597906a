"""Questions with choices, of which one is right: for encoders and generative models."""

import itertools
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from metaflax import base
from metaflax.models.layers import _choice_parts
from metaflax.tasks._base import GoldLabel, TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, encode_texts
from metaflax.tasks._pairs import Pair, encode_pairs


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


def encode_with_choices(
    tokenizer: Any, questions: Sequence[ChoiceQuestion], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] text [SEP] choice [SEP]` by choice, the longer part cut first.

    The `parts` of a row are its choices.
    """
    pairs = [Pair(q.text, choice) for q in questions for choice in q.choices]
    encoded = encode_pairs(tokenizer, pairs, max_length)
    return _in_rows(encoded, [len(q.choices) for q in questions])


def encode_choices_apart(
    tokenizer: Any, questions: Sequence[ChoiceQuestion], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] text [SEP]` and each `[CLS] choice [SEP]`, cut at their ends.

    The `parts` of a row are the text and its choices.
    """
    texts = [text for q in questions for text in (q.text, *q.choices)]
    encoded = encode_texts(tokenizer, texts, max_length)
    return _in_rows(encoded, [1 + len(q.choices) for q in questions])


def _in_rows(encoded: Encoded, counts: Sequence[int]) -> Encoded:
    """Joins sequences, `counts` to a row, and keeps their lengths."""
    names = ("input_ids", "token_type_ids")
    rows: Encoded = {name: [] for name in names if name in encoded}
    rows["parts"], first = [], 0
    for count in counts:
        for name in rows.keys() - {"parts"}:
            parts = encoded[name][first : first + count]
            rows[name].append(list(itertools.chain.from_iterable(parts)))
        ids = encoded["input_ids"][first : first + count]
        rows["parts"].append([*map(len, ids)])
        first += count
    return rows


def _form(name: str, encode: Any, encoder: Any, **fields: Any) -> Form:
    return Form(
        name=name,
        required=("text", "choices"),
        read=read_question,
        row=lambda question: {
            "text": question.text,
            "choices": list(question.choices),
        },
        encode=encode,
        encoder=encoder,
        num_marks=2,
        **fields,
    )


APART = _form(
    "text and choices in towers", encode_choices_apart, _choice_parts.choices_in_towers
)
CHOICES = _form(
    "text with choices",
    encode_with_choices,
    _choice_parts.each_choice,
    pair_encodings=MappingProxyType({"two_towers": APART}),
)


def multiple_choice() -> TaskType:
    """Multiple choice, for encoders and generative models.

    An encoder scores each choice with its text, read as one sequence or, with the pair
    encoding `two_towers`, apart, and a softmax is taken over the choices of a row. A
    generative model takes the likeliest. The number of choices may differ by row. A
    domain, such as a source, is a task.

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
      Radford et al., `Improving Language Understanding by Generative Pre-Training
      <https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf>`_,
      2018, section 3.3, where each choice is read with its text; Brown et al.,
      `Language Models are Few-Shot Learners <https://arxiv.org/abs/2005.14165>`_, 2020,
      section 2.4, where likelihoods choose.
    """
    return classification()._replace(
        kind="choices",
        form=CHOICES,
        gold_label=read_choice,
        decode=decode_choices,
        describe=_with_choice,
        variants=False,
        on_disk=False,
        written_by_default=True,
    )


def decode_choices(
    outputs: base.ClassOutputs, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the number of the best choice of each text, and all probabilities.

    Examples:
      >>> logits = np.array([[0.0, 0.0, np.finfo(np.float32).min / 2]], np.float32)
      >>> decode_choices(base.ClassOutputs(logits, np.ones(3, bool)), [])
      [{'label': 0, 'probabilities': [0.5, 0.5]}]
    """
    del names
    logits = np.asarray(outputs.logits)
    absent = np.finfo(logits.dtype).min / 4  # Twice as high as those of absent ones.
    rows = [(row, row[row > absent]) for row in logits]
    return [
        {
            "label": int(row.argmax()),
            "probabilities": [round(float(p), 6) for p in scipy.special.softmax(kept)],
        }
        for row, kept in rows
    ]


def _with_choice(question: ChoiceQuestion, prediction: dict[str, Any]):
    """Adds the text of the choice to a prediction."""
    choice = question.choices[prediction["label"]]
    return {
        "label": prediction["label"],
        "choice": choice,
        "probabilities": prediction["probabilities"],
    }
