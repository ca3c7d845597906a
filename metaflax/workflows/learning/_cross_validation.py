"""Predictions of the examples of a task by tasks that were learned without them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import data
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded

# Largest number of fits per evaluation, which would take minutes for a large task.
MOST_PARTS = 100


def cross_validate(
    learner: Learner,
    examples: data.Examples,
    names: Sequence[str],
    encoded: Encoded | None = None,
    choice: HeadChoice | None = None,
) -> list[dict[str, Any]]:
    """Predicts each example by a task learned from other examples.

    Up to `MOST_PARTS` examples are left out one by one; more examples are divided into
    that many parts.

    Args:
      learner: learner of the tasks.
      examples: the support set.
      names: class names in the order of the outputs.
      encoded: features of the texts, if the learner `shares_encoder` (default: encodes
        the texts).
      choice: choice of the head (default: made once, on all examples, if the learner
        `chooses_head`).

    Returns:
      Records as of `Learner.predict`.

    Raises:
      ValueError: if there are fewer than two examples.
    """
    if len(examples) < 2:
        raise ValueError(
            f"{len(examples)} example leaves none to learn from; give more."
        )
    if encoded is None and learner.shares_encoder:
        encoded = learner.encoder.encode(examples.texts)
    if choice is None and learner.chooses_head:
        assert encoded is not None  # Heads are chosen where the encoder stays.
        choice = learner.choose_head(examples, names, encoded)
    parts = _parts(examples)
    records: dict[int, dict[str, Any]] = {}
    for part in range(parts.max() + 1):
        weights = (parts != part).astype(np.float32)
        learned = learner.learn(
            examples, names, encoded=encoded, weights=weights, choice=choice
        )
        rows = np.flatnonzero(parts == part)
        encoded_part = None if encoded is None else encoded.of(rows)
        texts = [examples.texts[row] for row in rows]
        predicted = learner.predict(learned, texts, encoded_part)
        records |= zip(rows.tolist(), predicted, strict=True)
    return [records[row] for row in range(len(examples))]


def leaves_one_out(number: int) -> bool:
    """Returns whether `cross_validate` leaves out `number` examples one by one."""
    return number <= MOST_PARTS


def _parts(examples: data.Examples) -> np.ndarray:
    """Assigns examples to cross-validation parts, stratified by class."""
    by_class = sorted(range(len(examples)), key=lambda row: examples.labels[row])
    parts = np.zeros(len(examples), int)
    parts[by_class] = np.arange(len(examples)) % MOST_PARTS
    return parts
