r"""Matcher of the regular expressions of NL-RX and KB13, in polynomial time.

The dialect has `~(r)` for the complement and `r&s` for the intersection beside `|`,
`*`, `+`, `?`, `{m,n}`, classes, `.` and `\b`; spaces count. A match is of the whole
string. Every part is matched at every place once, so that the time is polynomial in
the lengths of expression and string.
"""

import random
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments.code import _parse

# Number of strings on which two expressions are compared, and their maximum length.
NUM_STRINGS, LONGEST = 400, 24
# Words of the data, of which the sampled strings consist.
CHARACTERS = string.ascii_letters + string.digits + " .,-"
PIECES = ("dog", "truck", "ring", "lake", "A", "b", "e", "7", "0", " ", ".", "Z", "a")

Ends = frozenset[int]
DOMAIN = "regex_"


def matches(expression: _parse.Node, text: str) -> bool:
    """Tells whether an expression matches the whole of a text.

    Examples:
      >>> matches(_parse.parse("(dog.*)&(~(.*cat.*))"), "dog house")
      True
      >>> matches(_parse.parse("(dog.*)&(~(.*cat.*))"), "dog, cat")
      False
    """
    memo: dict[tuple[_parse.Node, int], Ends] = {}
    return len(text) in _ends(expression, 0, text, memo)


def equivalent(first: str, second: str, seed: int = 0) -> bool | None:
    """Tells whether two expressions agree on many sampled strings.

    Args:
      first: an expression, whose words occur in the strings.
      second: another.
      seed: seed for sampling the strings.

    Returns:
      Whether they agree on all strings, so that True may be wrong where they differ on
      rare ones only; None if one of them cannot be parsed.

    Examples:
      >>> equivalent("(dog)|(cat)", "(cat)|(dog)")
      True
      >>> equivalent("dog.*", ".*dog.*")
      False
      >>> equivalent("(dog", "dog") is None
      True
    """
    try:
        a, b = _parse.parse(first), _parse.parse(second)
    except ValueError:
        return None
    texts = strings((a, b), seed)
    return all(matches(a, text) == matches(b, text) for text in texts)


def strings(nodes: Sequence[_parse.Node], seed: int = 0) -> list[str]:
    """Samples strings that match a part of an expression, and others of its words.

    Three in four are of the first kind: they match all but complements and
    intersections, or have one repetition too few or too many.

    Examples:
      >>> texts = strings([_parse.parse("(dog){2}")])
      >>> len(texts), {"dogdog", "dog", "dogdogdog"} <= set(texts)
      (400, True)
    """
    draw = random.Random(seed)
    words = [word for node in nodes for word in _parse.words(node)]
    pieces, texts = [*dict.fromkeys(words), *PIECES], [""]
    while len(texts) < NUM_STRINGS:
        if draw.random() < 0.25:
            number = draw.randint(1, 6)
            text = draw.choice(("", " ")).join(draw.choices(pieces, k=number))
        else:
            text = _drawn(draw.choice(nodes), draw)
        texts.append(text[:LONGEST])
    return texts


def _drawn(node: _parse.Node, draw: random.Random) -> str:
    """Samples a string of a node."""
    if node.kind == "characters":
        others = [c for c in CHARACTERS if c not in node.characters]
        return draw.choice(others if node.negated else [*node.characters] or [""])
    if node.kind == "sequence":
        return "".join(_drawn(part, draw) for part in node.parts)
    if node.kind == "repeated":
        # From one below the minimum to one above the maximum.
        number = draw.randint(
            max(node.least - 1, 0), min(node.most + 1, node.least + 2)
        )
        return "".join(_drawn(node.parts[0], draw) for _ in range(min(number, LONGEST)))
    return _drawn(draw.choice(node.parts), draw) if node.parts else ""


def equivalence(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Counts, by method, generated expressions that are equivalent to the reference."""
    counts: dict[str, dict[str, float]] = {}
    for record in records:
        if not record["domain"].startswith(DOMAIN):
            continue
        for method, text in record["generated"].items():
            of_method = counts.setdefault(
                method, {"expressions": 0, "valid": 0, "exact": 0, "equivalent": 0}
            )
            same = equivalent(text, record["target"])
            of_method["expressions"] += 1
            of_method["valid"] += same is not None
            of_method["exact"] += text == record["target"]
            of_method["equivalent"] += bool(same)
    return counts


def _ends(node: _parse.Node, start: int, text: str, memo: Any) -> Ends:
    """Returns the ends of a node's matches that begin at `start`."""
    if (ends := memo.get((node, start))) is None:
        ends = memo[node, start] = _OF_KIND[node.kind](
            node, start, text, lambda part, place: _ends(part, place, text, memo)
        )
    return ends


PartFn = Callable[[_parse.Node, int], Ends]


def _characters(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    del part
    fits = start < len(text) and (text[start] in node.characters) != node.negated
    return frozenset({start + 1} if fits else ())


def _boundary(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    del node, part

    def in_word(place: int) -> bool:
        return 0 <= place < len(text) and (text[place].isalnum() or text[place] == "_")

    return frozenset({start} if in_word(start - 1) != in_word(start) else ())


def _sequence(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    del text
    places = frozenset({start})
    for child in node.parts:
        places = frozenset().union(*(part(child, place) for place in places))
    return places


def _alternatives(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    del text
    return frozenset().union(*(part(child, start) for child in node.parts))


def _intersection(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    del text
    first, *rest = (part(child, start) for child in node.parts)
    return first.intersection(*rest)


def _complement(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    return frozenset(range(start, len(text) + 1)) - part(node.parts[0], start)


def _repeated(node: _parse.Node, start: int, text: str, part: PartFn) -> Ends:
    [child] = node.parts
    places = frozenset({start})
    # More repetitions than characters can only repeat empty matches.
    for _ in range(min(node.least, len(text) + 1)):
        places = frozenset().union(*(part(child, place) for place in places))
    reached, left = set(places), node.most - node.least
    while places and left:
        following = frozenset().union(*(part(child, place) for place in places))
        places, left = following - reached, left - 1
        reached |= places
    return frozenset(reached)


_OF_KIND = {
    "characters": _characters,
    "boundary": _boundary,
    "sequence": _sequence,
    "alternatives": _alternatives,
    "intersection": _intersection,
    "complement": _complement,
    "repeated": _repeated,
}
