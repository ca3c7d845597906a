"""Regression on texts and pairs of texts."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metaflax import losses, metrics
from metaflax.tasks._base import GoldLabel, TaskType
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import TEXT, Encoded, Form
from metaflax.tasks._pairs import PAIR, PAIR_ENCODINGS, Pair


def either(fields: Fields) -> str | Pair:
    """Reads a pair where the row has a second text, else one text."""
    form = PAIR if fields.has("text_pair") else TEXT
    return form.read(fields)


def encode_either(
    tokenizer: Any, texts: Sequence[str | Pair], max_length: int | None
) -> Encoded:
    """Encodes texts and pairs, each by its form."""
    of = [PAIR if isinstance(text, Pair) else TEXT for text in texts]
    rows: list[dict[str, Any]] = [{} for _ in texts]
    for form in (TEXT, PAIR):
        places = [place for place, other in enumerate(of) if other is form]
        if not places:
            continue
        encoded = form.encode(tokenizer, [texts[p] for p in places], max_length)
        for column, values in encoded.items():
            for place, value in zip(places, values, strict=True):
                rows[place][column] = value
    ids = [row["input_ids"] for row in rows]
    types = [row.get("token_type_ids", [0] * len(row["input_ids"])) for row in rows]
    return {"input_ids": ids, "token_type_ids": types}


TEXT_OR_PAIR = Form(
    name="text or pair",
    required=("text",),
    read=either,
    row=lambda text: (PAIR if isinstance(text, Pair) else TEXT).row(text),
    encode=encode_either,
    pair_encodings=PAIR_ENCODINGS,
    of_sentences=PAIR.of_sentences,
)


def regression() -> TaskType:
    """Regression on texts, or on pairs where rows have a second text.

    The number is in the column of labels. Model selection follows Pearson's
    correlation, which forgives a task's scale; the loss, squared errors, does not.

    Returns:
      A `TaskType` whose targets and outputs are numbers `[U]`.

    Examples:
      >>> from metaflax.tasks import Fields, regression
      >>> row = Fields({"text": "It rains.", "score": 4}, "a.jsonl:1",
      ...              {"label": "score"})
      >>> regression().gold_label(row).target
      4.0
    """
    return TaskType(
        kind="numbers",
        loss=losses.squared_error,
        metrics={
            "pearson": metrics.pearson,
            "spearman": metrics.spearman,
            "mse": losses.squared_error,
        },
        decode=decode_numbers,
        form=TEXT_OR_PAIR,
        gold_label=lambda fields: GoldLabel(target=fields.number("label")),
        outputs=lambda logits: logits[:, 0],
    )


def decode_numbers(outputs: jax.Array, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the number of each text, under the name of the column of targets.

    Examples:
      >>> decode_numbers(np.array([2.5]), ["score"])
      [{'score': 2.5}]
    """
    [name] = names
    return [{name: round(float(number), 6)} for number in np.asarray(outputs)]
