"""Pairs of texts: in one sequence, in two towers, both, or text and phrase."""

import itertools
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from metaflax.models.layers import _parts
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, encode_texts, tokenize
from metaflax.tasks._phrases import encode_phrases


class Pair(NamedTuple):
    """Two texts, of which a model takes both as input.

    Attributes:
      first: the first text, such as a premise.
      second: the second text, such as a hypothesis.

    Examples:
      >>> from metaflax import tasks
      >>> row = {"text": "It rains.", "text_pair": "It is wet."}
      >>> form = tasks.pair_classification().form
      >>> form.read(tasks.Fields(row, "a.jsonl:1"))
      Pair(first='It rains.', second='It is wet.')
    """

    first: str
    second: str


def read_pair(fields: Fields) -> Pair:
    """Reads the texts of the roles `text` and `text_pair`."""
    return Pair(fields.text("text"), fields.text("text_pair"))


def encode_pairs(
    tokenizer: Any, pairs: Sequence[Pair], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] first [SEP] second [SEP]`, two segments, the longer cut first."""
    firsts, seconds = [pair.first for pair in pairs], [pair.second for pair in pairs]
    return tokenize(
        tokenizer, firsts, seconds, max_length=max_length, return_token_type_ids=True
    )


def encode_towers(
    tokenizer: Any, pairs: Sequence[Pair], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] first [SEP] [CLS] second [SEP]`, the longer one cut first.

    The two `marks` of a row are where its texts begin.
    """
    return _joined([_tower_rows(tokenizer, pair, max_length) for pair in pairs])


def encode_both(
    tokenizer: Any, pairs: Sequence[Pair], max_length: int | None
) -> Encoded:
    """Encodes the pair in one sequence and, behind it, in two towers.

    The three `marks` of a row are where its sequences begin.
    """
    encoded = encode_pairs(tokenizer, pairs, max_length)
    rows, types = [], []
    for pair, ids, segments in zip(
        pairs, encoded["input_ids"], encoded["token_type_ids"], strict=True
    ):
        room = None if max_length is None else 2 * max_length - len(ids)
        towers = _tower_rows(tokenizer, pair, room)
        rows.append([ids, *towers])
        types.append([*segments, *[0] * sum(map(len, towers))])
    return {**_joined(rows), "token_type_ids": types}


def _tower_rows(tokenizer: Any, pair: Pair, max_length: int | None) -> list[list[int]]:
    """Returns the ids of each text, in all at most `max_length`."""
    ids = encode_texts(tokenizer, pair, None)["input_ids"]
    if max_length is None or sum(map(len, ids)) <= max_length:
        return ids
    most = _shares([*map(len, ids)], max_length)
    return [
        encode_texts(tokenizer, [text], length)["input_ids"][0]
        for text, length in zip(pair, most, strict=True)
    ]


def _shares(lengths: list[int], room: int) -> list[int]:
    """Divides room for two texts, of which the longer one is cut first.

    Examples:
      >>> _shares([4, 30], 20), _shares([30, 40], 21)
      ([4, 16], [11, 10])
    """
    first = min(lengths[0], max(room - lengths[1], room - room // 2))
    return [first, min(lengths[1], room - first)]


def _joined(rows: list[list[list[int]]]) -> Encoded:
    """Concatenates the sequences of each row, and marks where each begins."""
    marks = [
        [sum(map(len, row[:number])) for number in range(len(row))] for row in rows
    ]
    ids = [[*itertools.chain.from_iterable(row)] for row in rows]
    return {"input_ids": ids, "marks": marks}


def _in_parts(name: str, encode: Any, **fields: Any) -> Form:
    return Form(
        name=name,
        required=("text", "text_pair"),
        read=read_pair,
        row=lambda pair: {"text": pair.first, "text_pair": pair.second},
        encode=encode,
        **fields,
    )


TWO_TOWERS = _in_parts(
    "pair in two towers", encode_towers, encoder=_parts.two_towers, num_marks=2
)
BOTH = _in_parts(
    "pair in one sequence and two towers",
    encode_both,
    encoder=_parts.sequence_and_towers,
    num_marks=3,
    row_length=lambda max_length: 2 * max_length,
)
PHRASE = _in_parts(
    "text and phrase",
    encode_phrases,
    encoder=_parts.phrase_in_text,
    num_marks=4,
    of_name=lambda name: Pair(name, name),  # A phrase that is all of its text.
)
PAIR_ENCODINGS = MappingProxyType(
    {"two_towers": TWO_TOWERS, "both": BOTH, "phrase": PHRASE}
)
PAIR = _in_parts(
    "pair", encode_pairs, pair_encodings=PAIR_ENCODINGS, of_sentences="two_towers"
)
