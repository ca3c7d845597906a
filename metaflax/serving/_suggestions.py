"""Suggestions of texts to label next, for a task in memory."""

from collections.abc import Sequence
from typing import Any

from metaflax.workflows.inference._selection import Strategy, select
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded


def suggestions(
    learner: Learner,
    learned: LearnedTask,
    pool: Sequence[str],
    encoded: Encoded,
    number: int,
    strategy: Strategy,
) -> list[dict[str, Any]]:
    """Selects texts of a pool, and adds the predictions of the task.

    Args:
      learner: the model.
      learned: the task.
      pool: distinct unlabelled texts.
      encoded: their features with the encoder of the task.
      number: largest number of texts to select.
      strategy: strategy of selection, see `select`.

    Returns:
      Records with `text`, `predicted`, `probabilities` and `score`, best first.
    """
    shares = learner.probabilities(learned, encoded)
    names = [*learned.names, *learner.task.others]
    return [
        {"text": pool[selected.row], **selected.record(names, shares)}
        for selected in select(shares, encoded.features, number, strategy)
    ]
