"""Splitting of texts into words, and alignment of words with tokens."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Span: TypeAlias = tuple[int, int]

# In scripts without spaces between words (Thai and Lao, Myanmar, Khmer, Han and kana)
# each letter is a word. Otherwise a whole sentence would be one word.
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_ASCII_WORD = re.compile(r"[^\W_]+|\S", re.ASCII)
_ZERO_WIDTH_SPACE = "\u200b"


def word_spans(text: str) -> tuple[Span, ...]:
    """Finds the words of a text, `text[start:end]` each.

    A word is a run of letters and digits, or any other character alone. Marks, and
    joiners that are not seen, belong to the character before them. Every character is
    in one word unless it is white space, which is in none.

    Args:
      text: any text.

    Returns:
      Disjoint spans in ascending order.

    Examples:
      >>> text = "In 2020, São Paulo's..."
      >>> [text[start:end] for start, end in word_spans(text)]
      ['In', '2020', ',', 'São', 'Paulo', "'", 's', '.', '.', '.']

    References:
      `Unicode Text Segmentation <https://unicode.org/reports/tr29/>`_, whose rule WB4
      is that of marks. Departures: punctuation within words and numbers divides them,
      as in BERT's own words, and so do letters of scripts written without spaces.
    """
    if text.isascii():
        # The separators \x1c to \x1f are white space, but not to this expression.
        matches = (match.span() for match in _ASCII_WORD.finditer(text))
        return tuple(span for span in matches if not text[span[0]].isspace())
    spans: list[Span] = []
    before = "space"
    for place, kind in enumerate(map(_kind, text)):
        joins = kind == "mark" or kind == before == "letter"
        if kind != "space" and joins and before != "space":
            spans[-1] = (spans[-1][0], place + 1)
            continue  # A mark does not change the kind of the character before it.
        if kind != "space":
            spans.append((place, place + 1))
        before = kind
    return tuple(spans)


@functools.cache
def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace():
        return "space"
    if category[0] == "M" or (category == "Cf" and char != _ZERO_WIDTH_SPACE):
        return "mark"
    if category[0] in "LN" and not _WITHOUT_SPACES.match(char):
        return "letter"
    return "other"


def words_of_tokens(
    words: Sequence[Span], spans: np.ndarray
) -> tuple[tuple[Span, ...], np.ndarray]:
    """Aligns words with tokens: the words tokens distinguish, and their first tokens.

    Words that no token stands for are left out: a tokenizer may drop characters, and
    long texts are cut. Words that share their first token are one.

    Args:
      words: spans of characters, ascending and disjoint.
      spans: `[L, 2]`, the characters of each token, ascending; `(-1, -1)` for tokens
        that stand for none.

    Returns:
      The words `[W]` and the numbers of their first tokens, int64 `[W]`, ascending.

    Examples:
      >>> spans = np.array([(-1, -1), (0, 3), (3, 6), (7, 9), (-1, -1)])
      >>> print(*words_of_tokens([(0, 6), (7, 8), (8, 9), (10, 12)], spans))
      ((0, 6), (7, 9)) [1 3]
    """
    spans = np.asarray(spans).reshape(-1, 2)
    tokens = np.flatnonzero(spans[:, 1] > np.maximum(spans[:, 0], -1))
    starts, ends = np.asarray(words, np.int64).reshape(-1, 2).T  # [W]
    if not len(tokens):
        return (), tokens
    reach = np.maximum.accumulate(spans[tokens, 1])
    first = np.searchsorted(reach, starts, side="right")  # The first to end beyond it.
    begins = np.append(spans[tokens, 0], np.iinfo(np.int64).max)
    stood_for = begins[first] < ends
    starts, ends, first = starts[stood_for], ends[stood_for], first[stood_for]
    numbers, leads = np.unique(first, return_index=True)
    lasts = np.searchsorted(first, numbers, side="right") - 1
    merged = zip(starts[leads].tolist(), ends[lasts].tolist(), strict=True)
    return tuple(merged), tokens[numbers]
