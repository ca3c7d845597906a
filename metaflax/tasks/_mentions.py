"""Texts with two marked entities, and how they are encoded."""

import itertools
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from metaflax.models.layers import _entity_parts
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, encode_texts

Span: TypeAlias = tuple[int, int]

# Tokens of BERT's vocabularies that no text contains: where the head begins and ends,
# where the tail does.
MARKERS = ("[unused1]", "[unused2]", "[unused3]", "[unused4]")


class Mention(NamedTuple):
    """A text and two of its entities.

    Attributes:
      text: the text.
      head: characters `text[start:end]` of the entity that the relation goes from.
      tail: characters of the entity that it goes to.

    Examples:
      >>> from metaflax import tasks
      >>> row = {"text": "Ada wrote to Bob.", "head": [0, 3], "tail": [13, 16]}
      >>> mention = tasks.relations().form.read(tasks.Fields(row, "a.jsonl:1"))
      >>> mention
      Mention(text='Ada wrote to Bob.', head=(0, 3), tail=(13, 16))
      >>> mention.text[slice(*mention.tail)]
      'Bob'
    """

    text: str
    head: Span
    tail: Span


def read_mention(fields: Fields) -> Mention:
    """Reads a text with two entities, given as ranges of characters or of tokens.

    With a column `tokens`, a list of words, `head` and `tail` hold ranges of words and
    the text is these words with spaces between. Otherwise they hold ranges of
    characters of the column of texts. A range is `[start, end]`, its end not included,
    or is the first in a list `spans` of an object, as FewRel has it.

    Raises:
      ValueError: if a range is none, or lies outside the text.
    """
    if not fields.has("tokens"):
        text = fields.text("text")
        head, tail = (_span(fields, role, len(text)) for role in ("head", "tail"))
        return _checked(fields, Mention(text, head, tail))
    words = fields.value("tokens")
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise fields.refused("tokens", "is to be a list of words.")
    starts = [0, *itertools.accumulate(len(word) + 1 for word in words)]

    def characters(role: str) -> Span:
        first, last = _span(fields, role, len(words))
        return starts[first], starts[last] - 1

    mention = Mention(" ".join(words), characters("head"), characters("tail"))
    return _checked(fields, mention)


def _span(fields: Fields, role: str, length: int) -> Span:
    """Reads the first range of an entity, within a text of `length`."""
    held = fields.value(role)
    spans = held.get("spans") if isinstance(held, dict) else [held]
    match spans:
        case [[int(start), int(end)], *_]:
            pass
        case _:
            raise fields.refused(
                role, f"holds {held!r:.60} where a range [start, end] is expected."
            )
    if not 0 <= start < end <= length:
        raise fields.refused(
            role,
            f"is the range [{start}, {end}], outside of a text of length {length};"
            " ranges count from 0 and their end is not included.",
        )
    return start, end


def _checked(fields: Fields, mention: Mention) -> Mention:
    for role, (start, end) in (("head", mention.head), ("tail", mention.tail)):
        if not mention.text[start:end].strip():
            raise fields.refused(
                role, f"is the range [{start}, {end}], which holds no word."
            )
    # Half of a surrogate pair is refused where texts are read.
    Fields({"text": mention.text}, fields.place).text("text")
    return mention


def mention_of_name(name: str) -> Mention:
    """Writes the name of a relation between two entities without words.

    Examples:
      >>> mention_of_name("place of birth")
      Mention(text='place of birth', head=(0, 0), tail=(14, 14))
    """
    return Mention(name, (0, 0), (len(name), len(name)))


def encode_mentions(
    tokenizer: Any, mentions: Sequence[Mention], max_length: int | None
) -> Encoded:
    """Encodes texts with markers around both entities.

    `[CLS] ... [unused1] head [unused2] ... [unused3] tail [unused4] ... [SEP]`: the
    places of the markers before head and tail are the two `marks` of a text. What is
    too long is cut at its end, with whatever entity lies there.

    Raises:
      ValueError: if the tokenizer has no such markers.
    """
    ids, places = _marked(tokenizer, mentions, [max_length] * len(mentions))
    marks = [[head, tail] for head, _, tail, _ in places]
    return {"input_ids": ids, "marks": marks}


def encode_with_names(
    tokenizer: Any, mentions: Sequence[Mention], max_length: int | None
) -> Encoded:
    """Encodes a text as `encode_mentions`, then `[CLS] head [SEP] [CLS] tail [SEP]`.

    A name takes at most a quarter of `max_length`, and the text the rest. The seven
    `marks` of a row are where its three sequences begin, and where all four markers
    lie.

    Raises:
      ValueError: if the tokenizer has no such markers.
    """
    names = _names(tokenizer, mentions, max_length)
    rooms = [
        None if max_length is None else max_length - len(head) - len(tail)
        for head, tail in names
    ]
    texts, places = _marked(tokenizer, mentions, rooms)
    rows, marks = [], []
    for text, (head, tail), markers in zip(texts, names, places, strict=True):
        rows.append([*text, *head, *tail])
        marks.append([0, len(text), len(text) + len(head), *markers])
    return {"input_ids": rows, "marks": marks}


def _names(
    tokenizer: Any, mentions: Sequence[Mention], max_length: int | None
) -> list[tuple[list[int], list[int]]]:
    """Returns the ids of the names of head and tail, each a text by itself."""
    spans = [(m.text, span) for m in mentions for span in (m.head, m.tail)]
    most = None if max_length is None else max_length // 4
    names = [text[slice(*span)] for text, span in spans]
    ids = encode_texts(tokenizer, names, most)["input_ids"]
    return list(zip(ids[::2], ids[1::2], strict=True))


def _marked(
    tokenizer: Any, mentions: Sequence[Mention], rooms: Sequence[int | None]
) -> tuple[list[list[int]], list[tuple[int, ...]]]:
    """Returns the ids of texts with markers, and where all four lie.

    Each text has at most the tokens of its room. The places of an entity that was cut
    off are -1, and one that was cut itself ends where the text does.
    """
    markers = _marker_ids(tokenizer)
    cuts = [_cuts(mention) for mention in mentions]
    pieces = [
        mention.text[start:end]
        for mention, order in zip(mentions, cuts, strict=True)
        for start, end in itertools.pairwise(
            [0, *(place for place, _ in order), len(mention.text)]
        )
    ]
    encoded = tokenizer(
        pieces, add_special_tokens=False, return_attention_mask=False, verbose=False
    )["input_ids"]
    width = len(MARKERS) + 1
    ids, marks = [], []
    for number, (order, room) in enumerate(zip(cuts, rooms, strict=True)):
        mention_pieces = encoded[number * width : (number + 1) * width]
        row, places = [tokenizer.cls_token_id], [-1] * len(MARKERS)
        for piece, (_, marker) in zip(mention_pieces, order, strict=False):
            row += piece
            places[marker] = len(row)
            row.append(markers[marker])
        row += mention_pieces[-1]
        row = row[: None if room is None else room - 1]
        ids.append([*row, tokenizer.sep_token_id])
        head, tail = _ends_in(places[:2], len(row)), _ends_in(places[2:], len(row))
        marks.append((*head, *tail))
    return ids, marks


def _ends_in(entity: Sequence[int], length: int) -> tuple[int, int]:
    """Returns where the markers of an entity lie in a text cut to a length.

    Examples:
      >>> _ends_in([3, 6], 9), _ends_in([3, 6], 5), _ends_in([3, 6], 3)
      ((3, 6), (3, 5), (-1, -1))
    """
    start, end = entity
    return (start, min(end, length)) if start < length else (-1, -1)


def _cuts(mention: Mention) -> list[tuple[int, int]]:
    """Returns the place of each marker, in order; at one place, end markers come first.

    Both markers of an entity without words are adjacent, after end markers of others.
    """

    def order(cut: tuple[int, int]) -> tuple[int, ...]:
        place, number = cut
        start, end = mention.tail if number > 1 else mention.head
        begins = number % 2 == 0
        return place, 1 if start == end else 2 * begins, number

    places = [*mention.head, *mention.tail]
    return sorted(((place, number) for number, place in enumerate(places)), key=order)


def _marker_ids(tokenizer: Any) -> list[int]:
    ids = tokenizer.convert_tokens_to_ids(list(MARKERS))
    missing = [
        marker
        for marker, number in zip(MARKERS, ids, strict=True)
        if number is None or number == tokenizer.unk_token_id
    ]
    if missing:
        raise ValueError(
            f"the tokenizer has no {', '.join(missing)} to mark entities by; take a"
            " model whose vocabulary has them."
        )
    return ids


def _of_mentions(name: str, encode: Any, **fields: Any) -> Form:
    return Form(
        name=name,
        required=("text", "head", "tail"),
        read=read_mention,
        row=lambda m: {"text": m.text, "head": list(m.head), "tail": list(m.tail)},
        encode=encode,
        of_name=mention_of_name,
        **fields,
    )


WITH_NAMES = _of_mentions(
    "mention with names",
    encode_with_names,
    encoder=_entity_parts.entities_in_text,
    num_marks=7,
)
MENTION = _of_mentions(
    "mention",
    encode_mentions,
    num_marks=2,
    pair_encodings=MappingProxyType({"phrase": WITH_NAMES}),
    of_sentences="phrase",
)
