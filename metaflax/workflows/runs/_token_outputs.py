"""Readings: texts with a model's outputs for their tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import data
from metaflax.tasks._token_level import TokenOutputs


def reading(
    texts: Sequence[Any],
    numbers: np.ndarray,
    tokenized: data.TokenizedTexts,
    logits: np.ndarray,
) -> TokenOutputs:
    """Makes the `Reading` of some of the texts that were tokenized together.

    Args:
      texts: all texts.
      numbers: indices of the texts to select.
      tokenized: tokens of all texts.
      logits: `[R, L, N]`, logits of the rows of the selected texts, in order; rows of
        padding may follow.

    Returns:
      Texts, rows and logits of the selected texts.
    """
    rows = [tokenized.rows_of(numbers[i : i + 1]) for i in range(len(numbers))]
    owners = [owner for owner, text_rows in enumerate(rows) for _ in text_rows]
    spans = [tokenized.spans_of(row) for text_rows in rows for row in text_rows]
    selected = [texts[number] for number in numbers]
    return TokenOutputs(selected, owners, spans, logits[: len(spans)])
