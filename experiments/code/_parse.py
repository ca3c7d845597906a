"""Parser of the regular expressions of NL-RX and KB13."""

import dataclasses
import string
from typing import Literal

Kind = Literal[
    "characters",
    "boundary",
    "sequence",
    "alternatives",
    "intersection",
    "complement",
    "repeated",
]

# Maximum number of repetitions in an expression, and maximum depth of nesting.
MOST, DEEPEST = 1000, 40
ANY = 1 << 30
_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": string.whitespace,
}


@dataclasses.dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
      kind: kind of expression, such as `sequence`.
      parts: its parts.
      characters: characters of a character class.
      negated: whether the class is of all other characters.
      least: minimum number of repetitions.
      most: maximum number of repetitions.
    """

    kind: Kind
    parts: tuple["Node", ...] = ()
    characters: str = ""
    negated: bool = False
    least: int = 0
    most: int = ANY


def parse(expression: str) -> Node:
    """Parses an expression.

    Raises:
      ValueError: if the text is no valid expression.

    Examples:
      >>> parse("a&b").kind, parse("ab*").parts[1].kind
      ('intersection', 'repeated')
      >>> parse("(a")
      Traceback (most recent call last):
        ...
      ValueError: the expression '(a' ends at 2, where ')' is missing.
    """
    parser = _Parser(expression)
    node = parser.alternatives()
    if parser.place < len(expression):
        raise parser.error(f"{expression[parser.place]!r} is not expected")
    return node


def words(node: Node) -> list[str]:
    """Lists runs of literal characters of an expression.

    Examples:
      >>> words(parse("(dog).*[a-z]ring"))
      ['dog', 'ring']
    """
    runs, run = [], ""
    for part in node.parts:
        if node.kind == "sequence" and len(part.characters) == 1 and not part.negated:
            run += part.characters
            continue
        runs, run = [*runs, run, *words(part)], ""
    return [word for word in (*runs, run) if word]


class _Parser:
    """Recursive descent over an expression."""

    def __init__(self, expression: str):
        self.expression, self.place, self.depth = expression, 0, 0

    def error(self, what: str) -> ValueError:
        at = f"ends at {self.place}" if self.peek() == "" else f"at {self.place}"
        verb = ", where" if self.peek() == "" else ":"
        return ValueError(f"the expression {self.expression!r} {at}{verb} {what}.")

    def peek(self) -> str:
        return self.expression[self.place : self.place + 1]

    def take(self, token: str) -> bool:
        if not self.expression.startswith(token, self.place):
            return False
        self.place += len(token)
        return True

    def alternatives(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error("it is nested too deeply")
        parts = [self.intersection()]
        while self.take("|"):
            parts.append(self.intersection())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Node("alternatives", tuple(parts))

    def intersection(self) -> Node:
        parts = [self.sequence()]
        while self.take("&"):
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else Node("intersection", tuple(parts))

    def sequence(self) -> Node:
        parts = []
        while self.peek() not in ("", "|", "&", ")"):
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else Node("sequence", tuple(parts))

    def repeated(self) -> Node:
        if self.take("~"):
            return Node("complement", (self.repeated(),))
        node = self.atom()
        while True:
            if self.take("*"):
                node = Node("repeated", (node,))
            elif self.take("+"):
                node = Node("repeated", (node,), least=1)
            elif self.take("?"):
                node = Node("repeated", (node,), most=1)
            elif self.take("{"):
                least, most = self.bounds()
                node = Node("repeated", (node,), least=least, most=most)
            else:
                return node

    def bounds(self) -> tuple[int, int]:
        end = self.expression.find("}", self.place)
        if end < 0:
            raise self.error("'}' is missing")
        first, comma, last = self.expression[self.place : end].partition(",")
        if not first.strip().isdecimal() or not (last.strip() or "0").isdecimal():
            raise self.error("numbers of repetitions are missing")
        self.place = end + 1
        least = int(first)
        most = (int(last) if last.strip() else ANY) if comma else least
        if least > MOST or least > most:
            raise self.error("the numbers of repetitions are too large, or fall")
        return least, most

    def atom(self) -> Node:
        if self.take("("):
            node = self.alternatives()
            if not self.take(")"):
                raise self.error("')' is missing")
            return node
        if self.take("["):
            return self.character_class()
        if self.take("."):
            return Node("characters", characters="\n", negated=True)
        if self.take("\\"):
            return self.escaped()
        if (character := self.peek()) in ("", "*", "+", "?", "{", "}", "]"):
            raise self.error(f"{character!r} is not expected")
        self.place += 1
        return Node("characters", characters=character)

    def escaped(self) -> Node:
        if not (character := self.peek()):
            raise self.error("a character is missing after a backslash")
        self.place += 1
        if character == "b":
            return Node("boundary")
        if (of_class := _CLASSES.get(character.lower())) is not None:
            negated = character.isupper()
            return Node("characters", characters=of_class, negated=negated)
        return Node("characters", characters=character)

    def character_class(self) -> Node:
        negated, characters = self.take("^"), ""
        while not self.take("]"):
            if not (first := self.peek()):
                raise self.error("']' is missing")
            self.place += 1
            if first == "\\":
                characters += self.escaped().characters
                continue
            last, after = first, self.expression[self.place + 1 : self.place + 2]
            if self.peek() == "-" and after not in ("", "]"):
                last = self.expression[self.place + 1]
                self.place += 2
            characters += "".join(map(chr, range(ord(first), ord(last) + 1)))
        return Node("characters", characters=characters, negated=negated)
