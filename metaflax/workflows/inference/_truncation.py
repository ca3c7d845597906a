"""Counts and records of truncated input texts."""

from typing import Any

import numpy as np

from metaflax import data
from metaflax._wording import counted, see
from metaflax.workflows.learning._predictions import truncation


class TruncationCount:
    """Counts of the texts of a predictor, and of those that were truncated.

    Attributes:
      num_texts: number of texts so far.
      num_truncated: number of them that were truncated.
    """

    def __init__(self):
        self.num_texts = 0
        self.num_truncated = 0

    def records(self, tokenized: data.TokenizedTexts) -> list[dict[str, Any]]:
        """Makes the field `truncated` of each text, and updates the counts.

        It is None, or holds `tokens_read` and `tokens_total`, the tokens that the model
        takes as input and those of the whole text, with special tokens.
        """
        coverage = tokenized.coverage
        if coverage is None:  # Prompts without a text.
            coverage = np.zeros((len(tokenized), 2), np.int64)
        return self.records_of(coverage)

    def records_of(self, coverage: np.ndarray) -> list[dict[str, Any]]:
        """Does the same for numbers of tokens, read and in total, `[texts, 2]`."""
        rows = [truncation(read, total) for read, total in coverage.tolist()]
        self.num_texts += len(rows)
        self.num_truncated += sum(row is not None for row in rows)
        return [{"truncated": row} for row in rows]

    def notes(self, most: int, advice: str) -> list[str]:
        """Returns a sentence about the truncated texts, if there are any.

        Args:
          most: largest number of tokens that the model takes.
          advice: how to avoid truncation.
        """
        if not self.num_truncated:
            return []
        texts = counted(self.num_texts, "text was", "texts were")
        return [
            f"{self.num_truncated} of {texts} truncated to"
            f" {most} tokens (field `truncated`); {advice}.{see('howto/long_texts')}"
        ]
