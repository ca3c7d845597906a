"""Texts in which words are swapped that should change no answer."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

Swaps: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]

# Small and balanced: each pair goes both ways. "her" stands for "his", so that "him",
# which it stands for too, is left out.
SWAPS: dict[str, tuple[tuple[str, str], ...]] = {
    "gender": (
        ("he", "she"),
        ("his", "her"),
        ("himself", "herself"),
        ("man", "woman"),
        ("men", "women"),
        ("boy", "girl"),
        ("boys", "girls"),
        ("father", "mother"),
        ("son", "daughter"),
        ("brother", "sister"),
        ("husband", "wife"),
        ("actor", "actress"),
        ("guy", "gal"),
        ("Mr", "Mrs"),
    ),
    "names": (
        ("John", "Mary"),
        ("Michael", "Jennifer"),
        ("Emily", "Lakisha"),
        ("Greg", "Jamal"),
        ("David", "Mohammed"),
        ("Anna", "Fatima"),
        ("Peter", "Wei"),
        ("Robert", "Carlos"),
    ),
    "companies": (
        ("Apple", "Samsung"),
        ("Google", "Microsoft"),
        ("Toyota", "Ford"),
        ("Nokia", "Ericsson"),
        ("Sony", "Canon"),
        ("Amazon", "Walmart"),
        ("Shell", "Gazprom"),
        ("Nestle", "Unilever"),
    ),
}


class SwappedText(NamedTuple):
    """Two texts that differ in swapped words alone.

    Attributes:
      number: of the text that they were made from.
      before: as it was, or with the first word of a pair.
      after: swapped.
    """

    number: int
    before: str
    after: str


def swap_words(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The text with each word of a pair in place of the other.

    Words of small letters are found in any case, which the other word takes over; those
    with a capital are names, and found as they are.

    Examples:
      >>> swap_words("He said that she likes Apple.", SWAPS["gender"])
      'She said that he likes Apple.'
      >>> swap_words("Apple sells apples.", SWAPS["companies"])
      'Samsung sells apples.'
    """
    others: dict[str, str] = {}
    for one, other in pairs:
        others.setdefault(one, other)
        others.setdefault(other, one)
    longest_first = sorted(others, key=len, reverse=True)
    known = "|".join(re.escape(word) for word in longest_first)

    def other_of(match: re.Match[str]) -> str:
        found = match[0]
        if found in others:
            return others[found]
        if found.lower() not in others:
            return found  # As a name this is written otherwise.
        other = others[found.lower()]
        if found.isupper() and len(found) > 1:
            return other.upper()
        return other[0].upper() + other[1:] if found[0].isupper() else other

    return re.sub(rf"(?<!\w)(?:{known})(?!\w)", other_of, text, flags=re.IGNORECASE)


def swapped_texts(
    texts: Sequence[str], group: str, pairs: Sequence[tuple[str, str]]
) -> list[SwappedText]:
    """What a group of swaps makes of texts that have its words, or a place for them.

    A text with `{group}` in it, such as `{names} likes it`, is a template: each pair
    fills it with both of its words. Any other has all words of the group swapped.

    Examples:
      >>> for found in swapped_texts(
      ...     ["{names} is late.", "It rains.", "Is Mary?"], "names", [("John", "Mary")]
      ... ):
      ...     print(*found)
      0 John is late. Mary is late.
      2 Is Mary? Is John?
    """
    found, place = [], f"{{{group}}}"
    for number, text in enumerate(texts):
        if place in text:
            found += [
                SwappedText(number, *(text.replace(place, word) for word in pair))
                for pair in pairs
            ]
        elif (swapped := swap_words(text, pairs)) != text:
            found.append(SwappedText(number, text, swapped))
    return found


def read_swaps(path: str | Path) -> dict[str, tuple[tuple[str, str], ...]]:
    """Swaps from a JSON file: `{"group": [["word", "other"], ...], ...}`.

    Raises:
      ValueError: if there is no such file, or it holds anything else.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} holds no JSON: {error}.") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} {_SHOULD}")
    for pairs in content.values():
        if not isinstance(pairs, list) or not pairs or not all(map(_is_pair, pairs)):
            raise ValueError(f"{path} {_SHOULD}")
    return {name: tuple(map(tuple, pairs)) for name, pairs in content.items()}


_SHOULD = 'should hold groups of pairs of words, as {"gender": [["he", "she"]]} does.'


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(word, str) and word for word in pair)
        and pair[0] != pair[1]
    )
