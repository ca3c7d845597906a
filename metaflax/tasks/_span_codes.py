"""Where an answer lies among the tokens of a row."""

from collections.abc import Sequence

import numpy as np

from metaflax.base import SpanCode
from metaflax.tasks._questions import Answer, Question


def span_codes(
    text: Question, answers: Sequence[Answer], spans: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """The `base.SpanCode` of each token of a row, int32 `[L]`.

    Of several answers that are right the first that the row holds whole is learned;
    where it holds none, its first token, [CLS], is.

    Args:
      text: what is asked, of which context.
      answers: all that are right.
      spans: characters of the context that each token stands for, `[L, 2]`, -1 where
        it stands for none.
      names: of classes, of which there are none.
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
    """1 where there are answers and none of the rows of codes holds one."""
    found = any((codes[1:] > SpanCode.INSIDE).any() for codes in rows)
    return int(bool(answers) and not found)


def _held(
    context: str, answer: Answer, spans: np.ndarray, inside: np.ndarray
) -> tuple[int, int] | None:
    """Places of an answer's first and last token, if the row has all of them."""
    starts, ends = spans[inside].T
    touched = inside[(starts < answer.end) & (ends > answer.start)]
    if not len(touched):
        return None
    # Beyond the row there may be more of it, and not only gaps between words.
    rest = context[answer.start : starts[0]] + context[ends[-1] : answer.end]
    return None if rest.strip() else (int(touched[0]), int(touched[-1]))
