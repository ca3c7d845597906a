"""Phrases of a text that a classification asks about, such as entities to be typed."""

import re
from collections.abc import Sequence
from typing import Any

from metaflax.tasks._forms import Encoded, encode_texts, tokenize


def encode_phrases(
    tokenizer: Any, pairs: Sequence[Any], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] ... phrase ... [SEP] [CLS] phrase [SEP]`, cut far from the phrase.

    The four `marks` of a row are where its two sequences begin, and where the phrase
    begins and ends in the first (`_place`). Where it does not occur, that is the whole
    text.
    """
    texts = tokenize(
        tokenizer,
        [pair.first for pair in pairs],
        max_length=None,
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    rows, marks = [], []
    for pair, ids, offsets in zip(
        pairs, texts["input_ids"], texts["offset_mapping"], strict=True
    ):
        alone = _alone(tokenizer, pair.second, max_length)
        start, end = _tokens_of(pair, offsets)
        if max_length is not None:
            ids, start, end = _window(ids, start, end, max_length - len(alone) - 2)
        row = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        rows.append([*row, *alone])
        marks.append([0, len(row), 1 + start, 1 + end])
    return {"input_ids": rows, "marks": marks}


def _alone(tokenizer: Any, phrase: str, max_length: int | None) -> list[int]:
    """Returns the ids of a phrase by itself, at most half of a row."""
    most = None if max_length is None else max_length // 2
    return encode_texts(tokenizer, [phrase], most)["input_ids"][0]


def _tokens_of(pair: Any, offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns the tokens that share characters with the phrase; all if it is absent."""
    begin, end = _place(pair.first, pair.second)
    held = [
        number
        for number, (start, stop) in enumerate(offsets)
        if start < end and stop > begin
    ]
    return (held[0], held[-1] + 1) if held else (0, len(offsets))


def _place(text: str, phrase: str) -> tuple[int, int]:
    """Returns the characters of a phrase in a text, empty if it does not occur.

    This is its first occurrence as whole words, or, if there is none, within words;
    either is searched as written first, then in any case.

    Examples:
      >>> _place("these are what he wrote", "he"), _place("many DCs", "dc")
      ((15, 17), (5, 7))
    """
    literal = re.escape(phrase)
    # A phrase that begins or ends with punctuation needs no boundary there.
    words = rf"(?:\b|(?!\w)){literal}(?:\b|(?<!\w))"
    for pattern in (words, literal):
        for flags in (re.NOFLAG, re.IGNORECASE):
            if match := re.search(pattern, text, flags):
                return match.span()
    return 0, 0


def _window(
    ids: list[int], start: int, end: int, room: int
) -> tuple[list[int], int, int]:
    """Cuts ids to a window around a range, which is cut itself where it is longer.

    Examples:
      >>> _window([0, 1, 2, 3, 4, 5], 4, 5, room=3)
      ([3, 4, 5], 1, 2)
      >>> _window([0, 1, 2, 3, 4, 5], 0, 6, room=2)
      ([0, 1], 0, 2)
    """
    room = max(room, 0)
    end = min(end, start + room)
    before = (room - (end - start)) // 2
    first = max(0, min(start - before, len(ids) - room))
    return ids[first : first + room], start - first, end - first
