"""Encoding of answers as codes of tokens."""

from collections.abc import Sequence

import numpy as np

from metaflax.base._units import SpanCode
from metaflax.tasks._questions import Answer, Question


def span_codes(
    text: Question, answers: Sequence[Answer], spans: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Encodes an answer as the `SpanCode` of each token of a row, int32 `[L]`.

    Of several gold answers the target is the first that the row holds whole; where it
    holds none, the target is its first token, [CLS].

    Args:
      text: the question and its context.
      answers: the gold answers.
      spans: characters of the context that each token stands for, `[L, 2]`, -1 where
        it stands for none.
      names: unused.
    """
    del names
    inside = np.flatnonzero(spans[:, 0] >= 0)
    codes = np.full(len(spans), SpanCode.OUTSIDE, np.int32)
    codes[0] = SpanCode.INSIDE
    codes[inside] = SpanCode.INSIDE
    held = (_held(text.context, answer, spans, inside) for answer in answers)
    first, last = next(filter(None, held), (0, 0))
    codes[first] |= SpanCode.START
    codes[last] |= SpanCode.END
    return codes


def num_lost(answers: Sequence[Answer], rows: Sequence[np.ndarray]) -> int:
    """Returns 1 if there are answers and no row of codes holds one, else 0."""
    has_answer = any((codes[1:] > SpanCode.INSIDE).any() for codes in rows)
    return int(bool(answers) and not has_answer)


def _held(
    context: str, answer: Answer, spans: np.ndarray, inside: np.ndarray
) -> tuple[int, int] | None:
    """Finds an answer's first and last token, if the row holds the answer whole."""
    starts, ends = spans[inside].T
    touched = inside[(starts < answer.end) & (ends > answer.start)]
    if not len(touched):
        return None
    # Beyond the row there may be more of the answer, and not only gaps between words.
    rest = context[answer.start : starts[0]] + context[ends[-1] : answer.end]
    return None if rest.strip() else (int(touched[0]), int(touched[-1]))
