"""Encoding of sentences with token types for capitals, which many tokenizers lose."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax.models.layers._capitals import (
    CAPITAL_WORD,
    NO_WORD,
    OTHER_WORD,
    with_capitals,
)
from metaflax.tasks._forms import Encoded
from metaflax.tasks._sentences import SENTENCE, Sentence, encode_sentences
from metaflax.tasks._words import words_of_tokens


def encode_with_capitals(
    tokenizer: Any, sentences: Sequence[Sentence], max_length: int | None
) -> Encoded:
    """Encodes as `encode_sentences`, and sets the type of each token by its word."""
    encoded = encode_sentences(tokenizer, sentences, max_length)
    types = map(types_of_tokens, sentences, encoded["spans"])
    return {**encoded, "token_type_ids": list(types)}


def types_of_tokens(sentence: Sentence, spans: np.ndarray) -> list[int]:
    """Returns the type of each word at its first token, `NO_WORD` at all others.

    Examples:
      >>> spans = np.array([(-1, -1), (0, 3), (3, 5), (6, 8)])
      >>> types_of_tokens(Sentence("Paris is", ((0, 5), (6, 8))), spans)
      [0, 2, 0, 1]
    """
    words, first = words_of_tokens(sentence.words, spans)
    types = np.full(len(spans), NO_WORD)
    types[first] = [
        CAPITAL_WORD if sentence.text[start].isupper() else OTHER_WORD
        for start, _ in words
    ]
    return types.tolist()


SENTENCE_WITH_CAPITALS = SENTENCE._replace(
    name="sentence with capitals",
    encode=encode_with_capitals,
    encoder=with_capitals,
)
