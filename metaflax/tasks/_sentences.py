"""Sentences with entities: reading, writing and tokenizing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax.tasks._base import GoldLabel
from metaflax.tasks._entity_spans import Entity, entities_of_tags, whole_words
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, tokenize
from metaflax.tasks._words import Span, word_spans

# Accepted names of the field for an entity's type.
TYPE_NAMES = ("type", "label", "slot")


class Sentence(NamedTuple):
    """A text and its words.

    Attributes:
      text: the text.
      words: the characters of each word, `text[start:end]`, rising and apart.
    """

    text: str
    words: tuple[Span, ...]


def read_sentence(fields: Fields) -> Sentence:
    """Reads a text, or the words of a column `tokens` joined by spaces.

    Raises:
      ValueError: if there is no word, or one is empty or has white space around it.
    """
    if not fields.has("tokens"):
        text = fields.text("text")
        return Sentence(text, word_spans(text))
    words = fields.value("tokens")
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise fields.refused("tokens", "is to be a list of words.")
    if bad := [word for word in words if not word or word != word.strip()]:
        raise fields.refused(
            "tokens", f"holds the word {bad[0]!r:.60}; words have no space around them."
        )
    text = " ".join(words)
    # An empty text, and half of a surrogate pair, are found where texts are read.
    Fields({"tokens": text}, fields.place).text("tokens")
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = ends - [len(word) for word in words]
    return Sentence(text, tuple(zip(starts.tolist(), ends.tolist(), strict=True)))


def sentence_row(sentence: Sentence) -> dict[str, Any]:
    """Writes the text, and its words where `word_spans` would split it otherwise."""
    if sentence.words == word_spans(sentence.text):
        return {"text": sentence.text}
    words = [sentence.text[start:end] for start, end in sentence.words]
    return {"text": sentence.text, "tokens": words}


def encode_sentences(
    tokenizer: Any, sentences: Sequence[Sentence], max_length: int | None
) -> Encoded:
    """`[CLS] text [SEP]`, cut at its end, with the characters of each token."""
    texts = [sentence.text for sentence in sentences]
    encoded = tokenize(
        tokenizer,
        texts,
        max_length=max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    spans = [
        np.where(np.array(special)[:, None] > 0, -1, np.array(offsets).reshape(-1, 2))
        for offsets, special in zip(
            encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True
        )
    ]
    return {"input_ids": encoded["input_ids"], "spans": spans}


SENTENCE = Form(
    name="sentence",
    required=("text",),
    read=read_sentence,
    row=sentence_row,
    encode=encode_sentences,
)


def read_entities(fields: Fields) -> GoldLabel:
    """Reads the entities of a row from the column of labels.

    It holds a BIO tag for each word of `tokens`, or a list of objects with `start`,
    `end` and `type` (or `label`, or `slot`) and perhaps the `text` between, where
    `start` and `end` count characters. Entities that end within a word are widened to
    the whole of it.

    Raises:
      ValueError: if tags do not match the words, an `I-` has no beginning, an entity
        lies outside of the text or is not the text that it says, or two overlap.
    """
    sentence = read_sentence(fields)
    held = fields.value("label")
    if not isinstance(held, list):
        raise fields.refused(
            "label", f"holds {held!r:.60} where a list of tags or of entities is meant."
        )
    try:
        if held and all(isinstance(item, str) for item in held):
            if not fields.has("tokens"):
                raise ValueError("holds tags, and the row has no column 'tokens'.")
            entities = entities_of_tags(held, sentence.words)
        else:
            given = [_entity(item, sentence.text) for item in held]
            entities, _ = whole_words(given, sentence.words, len(sentence.text))
    except ValueError as error:
        raise fields.refused("label", f"is wrong: {error}") from None
    return GoldLabel(
        labels=tuple(dict.fromkeys(e.type for e in entities)), target=entities
    )


def _entity(item: Any, text: str) -> Entity:
    """Reads an entity of a list, and checks it against its text."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{item!r:.60} is no object with start, end and type.")
    names = [item[name] for name in TYPE_NAMES if name in item]
    match (item.get("start"), item.get("end")):
        case (int(start), int(end)):
            pass
        case _:
            raise ValueError(f"{dict(item)!r:.80} has no whole numbers start and end.")
    if not names or not isinstance(names[0], str) or not names[0].strip():
        raise ValueError(f"{dict(item)!r:.80} has no type.")
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"the entity [{start}, {end}] ({names[0]!r}) is empty or outside of a text"
            f" of length {len(text)}; characters count from 0, the end not included."
        )
    given_text = item.get("text", text[start:end])
    if given_text != text[start:end]:
        raise ValueError(
            f"the entity [{start}, {end}] has the text {given_text!r:.60}, and the row"
            f" has {text[start:end]!r:.60} there."
        )
    return Entity(start, end, names[0].strip())


def entity_rows(entities: Sequence[Entity]) -> dict[str, Any]:
    """Writes entities as the columns that `read_entities` reads."""
    return {"label": [entity._asdict() for entity in entities]}
