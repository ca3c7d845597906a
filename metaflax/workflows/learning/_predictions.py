"""Predictions of a learned task from logits, with the calibration of its run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import data, tasks
from metaflax.tasks._token_level import TokenOutputs
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._rejection import Rejection, with_raw_scores
from metaflax.workflows.learning._text_encoder import TextEncoder
from metaflax.workflows.runs._calibration import Calibration
from metaflax.workflows.runs._token_outputs import reading


def decode(
    logits: np.ndarray,
    task: tasks.TaskType,
    names: list[str],
    calibration: Calibration | None,
    rejection: Rejection | None,
) -> list[dict[str, Any]]:
    """Decodes logits `[U, N]`, scaled by the temperature, and applies the rejection."""
    temperature = 1.0 if calibration is None else calibration.temperature
    outputs = task.outputs(logits / np.float32(temperature))
    predictions = task.decode(outputs, names)
    if calibration is not None:
        predictions = with_raw_scores(predictions, logits, names)
    return predictions if rejection is None else rejection(predictions, logits)


def token_outputs(
    encoder: TextEncoder,
    learned: LearnedTask,
    texts: Sequence[Any],
    tokenized: data.TokenizedTexts,
) -> TokenOutputs:
    """Applies the output layer of a task to each token."""
    longest = int(tokenized.lengths.max())
    num_outputs = len(learned.head["bias"])
    logits = np.zeros((len(tokenized), longest, num_outputs), np.float32)
    for rows, features in encoder.in_batches(tokenized, learned.encoder):
        chunk = features[:, :longest] @ learned.head["kernel"]  # [R, L, N]
        logits[rows, : chunk.shape[1]] = chunk + learned.head["bias"]
    return reading(texts, np.arange(len(texts)), tokenized, logits)


def truncation(read: int, total: int) -> dict[str, int] | None:
    """Returns the record of a text that was truncated; None for one that was not."""
    return {"tokens_read": read, "tokens_total": total} if read < total else None
