"""Counterfactual word swaps that should leave predictions unchanged."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

Swaps: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]

# Small and balanced: each pair is swapped in both directions. "her" is paired with
# "his", so "him", which is "her" too, is left out.
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
    """A text and its counterfactual, which differ only in swapped words.

    Attributes:
      number: the index of the input text.
      before: the original, or the template filled with the first word of a pair.
      after: the counterfactual.
    """

    number: int
    before: str
    after: str


def swap_words(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Replaces each word of a pair by the other.

    Lower-case words match in any case, and the replacement takes over the case. Words
    with a capital letter are names, and match exactly.

    Examples:
      >>> swap_words("He said that she likes Apple.", SWAPS["gender"])
      'She said that he likes Apple.'
      >>> swap_words("Apple sells apples.", SWAPS["companies"])
      'Samsung sells apples.'
    """
    replacements: dict[str, str] = {}
    for first, second in pairs:
        replacements.setdefault(first, second)
        replacements.setdefault(second, first)
    longest_first = sorted(replacements, key=len, reverse=True)
    pattern = "|".join(re.escape(word) for word in longest_first)

    def replace(match: re.Match[str]) -> str:
        word = match[0]
        if word in replacements:
            return replacements[word]
        if word.lower() not in replacements:
            return word  # A name in another case is no match.
        replacement = replacements[word.lower()]
        if word.isupper() and len(word) > 1:
            return replacement.upper()
        if word[0].isupper():
            return replacement[0].upper() + replacement[1:]
        return replacement

    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", replace, text, flags=re.IGNORECASE)


def swapped_texts(
    texts: Sequence[str], group: str, pairs: Sequence[tuple[str, str]]
) -> list[SwappedText]:
    """Builds the counterfactuals of texts under a group of swaps.

    A text that contains `{group}`, such as `{names} likes it`, is a template: each pair
    of words fills it twice. In any other text all words of the group are swapped, and
    it is left out if it has none.

    Examples:
      >>> for swapped in swapped_texts(
      ...     ["{names} is late.", "It rains.", "Is Mary?"], "names", [("John", "Mary")]
      ... ):
      ...     print(*swapped)
      0 John is late. Mary is late.
      2 Is Mary? Is John?
    """
    results, placeholder = [], f"{{{group}}}"
    for number, text in enumerate(texts):
        if placeholder in text:
            results += [
                SwappedText(number, *(text.replace(placeholder, word) for word in pair))
                for pair in pairs
            ]
        elif (swapped := swap_words(text, pairs)) != text:
            results.append(SwappedText(number, text, swapped))
    return results


def read_swaps(path: str | Path) -> dict[str, tuple[tuple[str, str], ...]]:
    """Reads swaps from a JSON file: `{"group": [["word", "other"], ...], ...}`.

    Raises:
      ValueError: if the file is missing or has another form.
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
