"""What a model put out for tokens, brought together with the texts they are of."""

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
    """A `Reading` of some of the texts that were tokenized together.

    Args:
      texts: all of them.
      numbers: which of them.
      tokenized: all of them.
      logits: `[R, L, N]` of the rows of these, in order, and perhaps of padding.

    Returns:
      Texts, rows and logits of these.
    """
    rows = [tokenized.rows_of(numbers[i : i + 1]) for i in range(len(numbers))]
    owners = [owner for owner, text_rows in enumerate(rows) for _ in text_rows]
    spans = [tokenized.spans_of(row) for text_rows in rows for row in text_rows]
    selected = [texts[number] for number in numbers]
    return TokenOutputs(selected, owners, spans, logits[: len(spans)])
