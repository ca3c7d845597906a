"""Sentences with entities: reading, writing and tokenizing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax.tasks._base import GoldLabel, Remark
from metaflax.tasks._entity_spans import Entity, entities_of_tags, whole_words
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, tokenize
from metaflax.tasks._tag_schemes import to_bio
from metaflax.tasks._words import Span, word_spans

# Accepted names of the field for an entity's type.
TYPE_NAMES = ("type", "label", "slot")
# Columns of words, and of tags or entities where the column of labels is missing.
WORD_COLUMNS = ("tokens", "tokenized_text")
LABEL_COLUMNS = ("entities", "ents", "spans", "ner", "ner_tags", "tags")


class Sentence(NamedTuple):
    """A text and its words.

    Attributes:
      text: the text.
      words: the characters of each word, `text[start:end]`, ascending and disjoint.

    Examples:
      >>> from metaflax import tasks
      >>> row = tasks.Fields({"tokens": ["São", "Paulo"]}, "a.jsonl:1")
      >>> sentence = tasks.entities().form.read(row)
      >>> sentence, sentence.text[slice(*sentence.words[1])]
      (Sentence(text='São Paulo', words=((0, 3), (4, 9))), 'Paulo')
    """

    text: str
    words: tuple[Span, ...]


def read_sentence(fields: Fields) -> Sentence:
    """Reads a text, or the words of `tokens` or `tokenized_text` joined by spaces.

    Raises:
      ValueError: if there is no word, or one is empty or has white space around it.
    """
    column = next((name for name in WORD_COLUMNS if fields.has(name)), None)
    if column is None:
        text = fields.text("text")
        return Sentence(text, word_spans(text))
    words = fields.value(column)
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise fields.refused(column, "is to be a list of words.")
    if bad := [word for word in words if not word or word != word.strip()]:
        raise fields.refused(
            column, f"holds the word {bad[0]!r:.60}; words have no space around them."
        )
    text = " ".join(words)
    # An empty text, and half of a surrogate pair, are entities where texts are read.
    Fields({column: text}, fields.place).text(column)
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
    """Encodes `[CLS] text [SEP]`, cut at its end, with the characters of each token."""
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

    It holds a tag for each word of `tokens`, or a list of entities: objects with
    `start`, `end` and `type` (or `label`, or `slot`) and perhaps the `text` between, or
    `[start, end, type]` as spaCy writes them, where `start` and `end` count characters.
    With the words in `tokenized_text`, `[first, last, type]` counts words, as GLiNER
    writes them. Tags of other schemes are converted to BIO, see `to_bio`, and entities
    that end within a word are widened to the whole of it; remarks say so. Without a
    column of labels a usual one takes its place.

    Raises:
      ValueError: if tags do not match the words or are of no scheme, an entity lies
        outside of the text or is not the text that it says, or two overlap.
    """
    sentence = read_sentence(fields)
    held, remarks = _column(fields)
    if not isinstance(held, list):
        raise fields.refused(
            "label", f"holds {held!r:.60} where a list of tags or of entities is meant."
        )
    try:
        if held and all(isinstance(item, str) for item in held):
            entities, more = _tagged(fields, held, sentence)
        else:
            entities, more = _marked(fields, held, sentence)
    except ValueError as error:
        raise fields.refused("label", f"is wrong: {error}") from None
    types = tuple(dict.fromkeys(entity.type for entity in entities))
    return GoldLabel(types, entities, (*remarks, *more))


def _column(fields: Fields) -> tuple[Any, list[Remark]]:
    """Returns what the column of labels holds, or a usual one in its place."""
    usual = [name for name in LABEL_COLUMNS if name in fields.values]
    if fields.has("label") or not usual:
        return fields.value("label"), []
    what = f"rows have their labels in {usual[0]!r}, without {fields.column('label')!r}"
    held = fields.values[usual[0]]
    return held, [Remark(what, f"{held!r:.60}")]


def _tagged(
    fields: Fields, tags: list[str], sentence: Sentence
) -> tuple[tuple[Entity, ...], list[Remark]]:
    """Reads the entities that tags of words describe."""
    if not any(fields.has(name) for name in WORD_COLUMNS):
        raise ValueError("holds tags, and the row has no column 'tokens'.")
    converted, scheme = to_bio(tags)
    entities = entities_of_tags(converted, sentence.words)
    if scheme is None:
        return entities, []
    return entities, [
        Remark(f"rows have tags in {scheme}, read as BIO", f"{tags!r:.60}")
    ]


def _marked(
    fields: Fields, held: list[Any], sentence: Sentence
) -> tuple[tuple[Entity, ...], list[Remark]]:
    """Reads entities that are given by their ends, widened to whole words."""
    text, words = sentence
    remarks: list[Remark] = []
    triples = [item for item in held if isinstance(item, (list, tuple))]
    if triples:
        by_word = fields.has("tokenized_text")
        if fields.has("tokens"):
            raise ValueError(
                f"{triples[0]!r:.60} may count words or characters; write objects with"
                " start, end and type, which count characters."
            )
        whose = "words, as GLiNER" if by_word else "characters, as spaCy"
        what = f"rows have lists that count {whose} writes them, converted"
        remarks.append(Remark(what, f"{triples[0]!r:.60}"))
        held = [_object_of(item, words if by_word else None) for item in held]
    ordered = sorted(_entity(item, text) for item in held)
    entities, _ = whole_words(ordered, words, len(text))
    for before, after in zip(ordered, entities, strict=True):
        if before != after:
            wider = after.start < before.start or after.end > before.end
            remarks.append(
                Remark(
                    "entities are widened to whole words, as which they are scored"
                    if wider
                    else "entities lose white space at their ends",
                    f"{text[before.start : before.end]!r:.60} becomes"
                    f" {text[after.start : after.end]!r:.60}",
                )
            )
    return entities, remarks


def _object_of(item: Any, words: Sequence[Span] | None) -> Any:
    """Writes a list `[start, end, type]` as an object that counts characters.

    With `words` the ends are numbers of words, the last one included.
    """
    match item:
        case [int(start), int(end), str(kind)] if words is None:
            return {"start": start, "end": end, "type": kind}
        case [int(first), int(last), str(kind)] if (
            words is not None and 0 <= first <= last < len(words)
        ):
            return {"start": words[first][0], "end": words[last][1], "type": kind}
        case [int(first), int(last), str(_)]:
            raise ValueError(
                f"{list(item)!r:.60} is outside of {len(words or ())} words; they count"
                " from 0, the last one included."
            )
    return item


def _entity(item: Any, text: str) -> Entity:
    """Reads an entity of a list, and checks it against its text."""
    if not isinstance(item, Mapping):
        advice = (
            "; numbers of tags need their names: write these, or give a data set with"
            " ClassLabel."
            if isinstance(item, int)
            else "."
        )
        raise ValueError(f"{item!r:.60} is no object with start, end and type{advice}")
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
