"""Entities of a text: as spans of characters, as runs of words, as tags of a file."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metaflax.tasks._words import Span


class Entity(NamedTuple):
    """A named entity in a text.

    Attributes:
      start: its characters are `text[start:end]`.
      end: where it ends, not included.
      type: its entity type.
    """

    start: int
    end: int
    type: str


class Run(NamedTuple):
    """The words of an entity.

    Attributes:
      start: its words are `words[start:end]`.
      end: where it ends, not included.
      type: the number of its type.
    """

    start: int
    end: int
    type: int


def entities_of_tags(tags: Sequence[str], words: Sequence[Span]) -> tuple[Entity, ...]:
    """Reads the entities that BIO tags of words describe, without repairs.

    `B-x` begins an entity of type x, `I-x` goes on with it, `O` is in none.

    Args:
      tags: one tag per word.
      words: the characters of each word, ascending and disjoint.

    Returns:
      Entities in ascending order.

    Raises:
      ValueError: with the number of the tag, counted from 0, where it is none of the
        three, or `I-x` follows neither `B-x` nor `I-x`; or if words and tags differ
        in number.

    Examples:
      >>> entities_of_tags(["B-city", "I-city", "O"], [(0, 3), (4, 8), (9, 11)])
      (Entity(start=0, end=8, type='city'),)

    References:
      Ramshaw and Marcus, `Text Chunking using Transformation-Based Learning
      <https://arxiv.org/abs/cmp-lg/9505040>`_, 1995, in the form that CoNLL-2002 gave
      its tags.
    """
    if len(tags) != len(words):
        raise ValueError(
            f"there are {len(words)} words and {len(tags)} tags; give a tag a word."
        )
    entities: list[Entity] = []
    before = ""  # The type of the entity that the word before is in.
    for number, (tag, (start, end)) in enumerate(zip(tags, words, strict=True)):
        part, kind = _parts(number, tag)
        if part == "I":
            if kind != before:
                raise ValueError(
                    f"tag {number} (counted from 0) is {tag!r}, which follows neither"
                    f" {'B-' + kind!r} nor {tag!r}; an entity begins with"
                    f" {'B-' + kind!r}."
                )
            entities[-1] = entities[-1]._replace(end=end)
        elif part == "B":
            entities.append(Entity(start, end, kind))
        before = kind
    return tuple(entities)


def _parts(number: int, tag: str) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    part, dash, kind = tag.partition("-")
    if part not in ("B", "I") or not dash:
        raise ValueError(
            f"tag {number} (counted from 0) is {tag!r}; tags are 'O', 'B-type' and"
            " 'I-type'."
        )
    if not kind.strip():
        raise ValueError(
            f"tag {number} (counted from 0) is {tag!r}, which names no type."
        )
    return part, kind


def whole_words(
    entities: Iterable[Entity], words: Sequence[Span], length: int
) -> tuple[tuple[Entity, ...], int]:
    """Widens entities to the whole words that they touch.

    Args:
      entities: entities in any order.
      words: the characters of each word, ascending and disjoint.
      length: characters of the text.

    Returns:
      Entities in ascending order, and how many of them had to move an end.

    Raises:
      ValueError: if an entity is empty, holds no word or lies outside the text, or if
        two of them overlap, be it in a word that both touch.

    Examples:
      >>> whole_words([Entity(4, 6, "city")], [(0, 2), (3, 8)], length=8)
      ((Entity(start=3, end=8, type='city'),), 1)
    """
    ordered = sorted(entities)
    widened = [_widened(entity, words, length) for entity in ordered]
    for before, after in itertools.pairwise(range(len(ordered))):
        if widened[after].start < widened[before].end:
            first, second = _entity_text(ordered[before]), _entity_text(ordered[after])
            raise ValueError(
                f"the entities {first} and {second} overlap or share a word; a word is"
                " in one entity."
            )
    moved = sum(a != b for a, b in zip(ordered, widened, strict=True))
    return tuple(widened), moved


def _widened(entity: Entity, words: Sequence[Span], length: int) -> Entity:
    start, end, _ = entity
    if not 0 <= start < end <= length:
        raise ValueError(
            f"the entity {_entity_text(entity)} is empty or outside of a text of length"
            f" {length}; characters count from 0 and the end is not included."
        )
    first, last = _touched(words, [entity])[0]
    if first == last:
        raise ValueError(f"the entity {_entity_text(entity)} holds no word.")
    return entity._replace(start=words[first][0], end=words[last - 1][1])


def _entity_text(entity: Entity) -> str:
    return f"[{entity.start}, {entity.end}] ({entity.type!r})"


def _touched(words: Sequence[Span], entities: Sequence[Entity]) -> list[Span]:
    """Returns for each entity the range of words that share a character with it."""
    starts, ends = np.asarray(words, np.int64).reshape(-1, 2).T  # [W]
    begin = np.array([entity.start for entity in entities], np.int64)
    stop = np.array([entity.end for entity in entities], np.int64)
    first = np.searchsorted(ends, begin, side="right")
    last = np.searchsorted(starts, stop, side="left")
    return list(zip(first.tolist(), np.maximum(first, last).tolist(), strict=True))


def runs_of_entities(
    entities: Iterable[Entity], words: Sequence[Span], types: Sequence[str]
) -> tuple[Run, ...]:
    """Finds the words that entities touch.

    Args:
      entities: disjoint entities.
      words: the characters of each word, ascending and disjoint; those at the end of a
        text may be missing.
      types: the types, in the order of their numbers.

    Returns:
      Runs in ascending order. An entity that touches no word has none; a word that two
      entities touch is in the first.

    Raises:
      ValueError: if an entity has none of the types.

    Examples:
      >>> from metaflax.tasks import runs_of_entities
      >>> from metaflax.tasks._entity_spans import Entity
      >>> entities = [Entity(3, 8, "city"), Entity(9, 12, "river")]
      >>> runs_of_entities(entities, [(0, 2), (3, 5), (6, 8)], ["city", "river"])
      (Run(start=1, end=3, type=0),)
    """
    ordered = sorted(entities)
    number_of = {name: number for number, name in enumerate(types)}
    runs: list[Run] = []
    free = 0  # The first word that is in no entity yet.
    for entity, (first, last) in zip(ordered, _touched(words, ordered), strict=True):
        if entity.type not in number_of:
            raise ValueError(
                f"the entity {_entity_text(entity)} has none of the types"
                f" {', '.join(map(repr, types))}."
            )
        first = max(first, free)
        if first < last:
            runs.append(Run(first, last, number_of[entity.type]))
            free = last
    return tuple(runs)


def entities_of_runs(
    runs: Iterable[Run], words: Sequence[Span], types: Sequence[str]
) -> tuple[Entity, ...]:
    """Converts runs of words to entities: the inverse of `runs_of_entities`.

    Examples:
      >>> entities_of_runs([Run(1, 3, 0)], [(0, 2), (3, 5), (6, 8)], ["city"])
      (Entity(start=3, end=8, type='city'),)
    """
    return tuple(
        Entity(words[start][0], words[end - 1][1], types[number])
        for start, end, number in runs
    )
