"""Suggestions of texts to label next, for a task in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax.few_shot._learner import LearnedTask, Learner
from metaflax.few_shot._text_encoder import Encoded
from metaflax.workflows.inference._selection import Strategy, select


def suggestions(
    learner: Learner,
    learned: LearnedTask,
    pool: Sequence[str],
    encoded: Encoded,
    number: int,
    strategy: Strategy,
) -> list[dict[str, Any]]:
    """Selects texts of a pool, and tells what the task predicts for them.

    Args:
      learner: the model.
      learned: the task.
      pool: distinct unlabelled texts.
      encoded: their features with the encoder of the task.
      number: most texts to select.
      strategy: how they are selected.

    Returns:
      Records with `text`, `predicted`, `probabilities` and `score`, best first.
    """
    shares = learner.probabilities(learned, encoded)
    names = [*learned.names, *learner.task.others]
    return [
        {
            "text": pool[row],
            "predicted": names[int(np.argmax(shares[row]))],
            "probabilities": {
                name: round(float(share), 6)
                for name, share in zip(names, shares[row], strict=True)
            },
            "score": round(score, 6),
        }
        for row, score in select(shares, encoded.features, number, strategy)
    ]
