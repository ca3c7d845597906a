"""One row of a file, and the checked values that a task type takes from it."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from metaflax._wording import see
from metaflax.tasks._label_names import label_name

# Characters that usually separate several names in one string.
SEPARATORS = ("|", ";", ",", "\t", "\n")
# Options of the command line that name the column of a role.
OPTIONS = {
    role: f"--{role.replace('_', '-')}"
    for role in ("text", "text_pair", "label", "target", "domain")
}


@dataclasses.dataclass(frozen=True)
class Fields:
    """The values of one row by role, each checked as it is taken.

    Attributes:
      values: the row, by column.
      place: place of the row, such as `reviews.csv:17`.
      columns: the column of a role, where that is not the role's own name.
      separator: what separates several names inside one string, or None.
      spellings: collects the ways in which each name of `names` is written, or None.
      options: the option that names the column of a role, for messages.

    Examples:
      >>> from metaflax.tasks import Fields
      >>> row = Fields({"review": "it barks", "stars": "4"}, "a.csv:2",
      ...              {"text": "review", "label": "stars"})
      >>> row.text("text"), row.names("label"), row.number("label")
      ('it barks', ('4',), 4.0)
    """

    values: Mapping[str, Any]
    place: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    separator: str | None = None
    spellings: dict[str, set[str]] | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=lambda: OPTIONS)

    def column(self, role: str) -> str:
        """Returns the column of a role."""
        return self.columns.get(role, role)

    def has(self, role: str) -> bool:
        """Returns whether the row has that column."""
        return self.column(role) in self.values

    def value(self, role: str) -> Any:
        """Returns the value of the column.

        Raises:
          ValueError: if there is no such column.
        """
        if not self.has(role):
            option = self.options.get(role)
            raise ValueError(
                f"{self.place}: no column {self.column(role)!r}; the columns are"
                f" {', '.join(map(repr, self.values))}. Name the right one"
                f"{f' with {option}' if option else ''}.{see('howto/csv_and_columns')}"
            )
        return self.values[self.column(role)]

    def refused(self, role: str, problem: str) -> ValueError:
        """Makes the error that names a column, its problem, and the row."""
        return ValueError(f"{self.place}: {self.column(role)!r} {problem}")

    def text(self, role: str) -> str:
        """Returns a text that is not empty."""
        return self._text(self.value(role), role)

    def texts(self, role: str) -> tuple[str, ...]:
        """Returns the texts of a list, perhaps none; a missing value has none."""
        value = self.value(role)
        if not isinstance(value, (list, tuple, type(None))):
            raise self.refused(
                role, f"holds {value!r:.60} where a list of texts is expected."
            )
        return tuple(self._text(text, role) for text in value or ())

    def name(self, role: str) -> str:
        """Returns the name that a string, number or truth value stands for."""
        return self._name(self.value(role), role)

    def names(self, role: str) -> tuple[str, ...]:
        """Returns one name, or the distinct ones of several, in order."""
        items = self.items(role)
        if not items:
            raise self.refused(
                role, "is an empty list; give a label, or drop such rows."
            )
        names = [self._name(item, role) for item in items]
        if self.spellings is not None:
            for name, item in zip(names, items, strict=True):
                self.spellings.setdefault(name, set()).add(str(item))
        return tuple(dict.fromkeys(names))

    def several_names(self, role: str) -> tuple[str, ...]:
        """Returns the names of a list; refuses a string that may be meant as one.

        Raises:
          ValueError: as `names`, and for a string with a character that usually
            separates names, if no separator is given.
        """
        value = self.value(role)
        single = isinstance(value, str) and self.items(role) == [value]
        marks = [mark for mark in SEPARATORS if single and mark in value]
        if marks and not self.separator:
            raise self.refused(
                role,
                f"holds {value!r:.60}, which may be one label or several; give"
                f" {marks[0]!r} as the label separator, or write a JSON list.",
            )
        return self.names(role)

    def items(self, role: str) -> list[Any]:
        """Returns the items of a list or of a JSON list in a string, or one value.

        A string that is no JSON list is divided at the separator, if there is one.

        Examples:
          >>> Fields({"label": '["a", "b"]'}, "a.csv:2").items("label")
          ['a', 'b']
          >>> Fields({"label": "a|b"}, "a.csv:2", separator="|").items("label")
          ['a', 'b']
        """
        value = self.value(role)
        if not isinstance(value, str):
            return list(value) if isinstance(value, (list, tuple)) else [value]
        if (items := _json_list(value)) is not None:
            return items
        if self.separator:
            return [part for part in value.split(self.separator) if part.strip()]
        if value.lstrip()[:2] in ("['", '["', "('", '("'):
            raise self.refused(
                role,
                f"holds {value!r:.60}, which looks like a list and is no JSON; write a"
                ' JSON list, such as ["a", "b"].',
            )
        return [value]

    def number(self, role: str) -> float:
        """Returns a finite number, or that of a string."""
        value = self.value(role)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.refused(role, f"holds {value!r:.60} where a number is expected.")
        return number

    def _text(self, value: Any, role: str) -> str:
        if not isinstance(value, str):
            raise self.refused(
                role, f"holds {value!r:.60} where a text is expected; write a string."
            )
        if not value.strip():
            raise self.refused(role, "is an empty text; remove the row.")
        # Most texts are ASCII, which is quick to check.
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise self.refused(
                role,
                "holds half of a surrogate pair, which no UTF-8 text can; repair the"
                " text.",
            )
        return value

    def _name(self, value: Any, role: str) -> str:
        if isinstance(value, float) and math.isnan(value):
            value = None
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.refused(role, "is missing; fill it in or remove the row.")
        if isinstance(value, (bool, int, float, str)):
            return self._text(label_name(value), role)
        raise self.refused(
            role,
            f"holds {value!r:.60} where a name, a number or a list of them is"
            " expected.",
        )


def _json_list(value: str) -> list[Any] | None:
    """Parses a JSON list; None for any other string."""
    if not value.lstrip().startswith("["):
        return None
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None
