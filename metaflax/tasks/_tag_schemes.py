"""Tagging schemes of files, converted to BIO."""

import re
from collections.abc import Sequence

_TAG = re.compile(r"([BIESLU])-(.*\S.*)", re.DOTALL)
_NO_TYPE = re.compile(r"\s*|[BIESLU](-\s*)?")
# The tags that begin an entity, and those after which it ends.
_BEGINS, _ENDS = frozenset("BSU"), frozenset("ESLU")


def to_bio(tags: Sequence[str]) -> tuple[list[str], str | None]:
    """Converts tags of words to BIO.

    Three schemes beside BIO are recognised: IOB1, in which `B-` is for entities right
    after another one of their type alone; BIOES and BILOU, which mark the last word of
    an entity and entities of one word; and bare types, in which neighbours of the same
    type are one entity.

    Args:
      tags: a tag a word.

    Returns:
      The tags in BIO, and the name of the scheme; or the tags as they are and None, if
      they are in BIO or in no scheme.

    Examples:
      >>> to_bio(["I-city", "I-city", "O", "B-river"])
      (['B-city', 'I-city', 'O', 'B-river'], 'IOB1')
      >>> to_bio(["B-city", "E-city", "S-city"])
      (['B-city', 'I-city', 'B-city'], 'BIOES')
      >>> to_bio(["city", "city", "O"])
      (['B-city', 'I-city', 'O'], 'bare types')

    References:
      Ratinov and Roth, `Design Challenges and Misconceptions in Named Entity
      Recognition <https://aclanthology.org/W09-1119>`_, 2009.
    """
    tagged = [tag for tag in tags if tag != "O"]
    matches = [_TAG.fullmatch(tag) for tag in tagged]
    if not any(matches):
        if not tagged or any(_NO_TYPE.fullmatch(tag) for tag in tagged):
            return list(tags), None
        return _in_bio(
            [("", "O") if t == "O" else ("I", t) for t in tags]
        ), "bare types"
    if not all(matches):
        return list(tags), None
    parts = [("", "O") if tag == "O" else _parts(tag) for tag in tags]
    scheme = _scheme({part for part, _ in parts if part})
    converted = _in_bio(parts)
    known = scheme is not None and converted != list(tags)
    return (converted, scheme) if known else (list(tags), None)


def _parts(tag: str) -> tuple[str, str]:
    part, _, kind = tag.partition("-")
    return part, kind


def _scheme(parts: set[str]) -> str | None:
    """Returns the scheme of tags with these beginnings; None for a mixture."""
    schemes = {"IOB1": set("BI"), "BIOES": set("BIES"), "BILOU": set("BILU")}
    return next((name for name, known in schemes.items() if parts <= known), None)


def _in_bio(parts: Sequence[tuple[str, str]]) -> list[str]:
    """Writes tags in BIO, from the part of an entity and its type."""
    tags, open_type = [], None
    for part, kind in parts:
        if not part:
            tags.append("O")
            open_type = None
            continue
        inside = kind == open_type and part not in _BEGINS
        tags.append(f"{'I' if inside else 'B'}-{kind}")
        open_type = None if part in _ENDS else kind
    return tags
