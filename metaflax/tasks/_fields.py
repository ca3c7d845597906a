"""One row of a file, and the checked values that a task type takes from it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Fields:
    """The values of one row by role, each checked as it is taken.

    Attributes:
      values: the row, by column.
      place: where it stands, such as `reviews.csv:17`.
      columns: the column of a role, where that is not the role's own name.
      separator: what separates several names inside one string, or None.

    Examples:
      >>> row = Fields({"review": "it barks", "stars": "4"}, "a.csv:2",
      ...              {"text": "review", "label": "stars"})
      >>> row.text("text"), row.names("label"), row.number("label")
      ('it barks', ('4',), 4.0)
    """

    values: Mapping[str, Any]
    place: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    separator: str | None = None

    def column(self, role: str) -> str:
        """The column that plays a role."""
        return self.columns.get(role, role)

    def has(self, role: str) -> bool:
        """Whether the row has that column."""
        return self.column(role) in self.values

    def value(self, role: str) -> Any:
        """What the column holds.

        Raises:
          ValueError: if there is no such column.
        """
        if not self.has(role):
            raise ValueError(
                f"{self.place}: no column {self.column(role)!r}; the columns are"
                f" {', '.join(map(repr, self.values))}. Name the right one."
            )
        return self.values[self.column(role)]

    def refused(self, role: str, problem: str) -> ValueError:
        """The error that says what is wrong with a column, and where."""
        return ValueError(f"{self.place}: {self.column(role)!r} {problem}")

    def text(self, role: str) -> str:
        """A text that is not empty."""
        return self._text(self.value(role), role)

    def texts(self, role: str) -> tuple[str, ...]:
        """The texts of a list, perhaps none; a missing value has none."""
        value = self.value(role)
        if not isinstance(value, (list, tuple, type(None))):
            raise self.refused(
                role, f"holds {value!r:.60} where a list of texts is expected."
            )
        return tuple(self._text(text, role) for text in value or ())

    def name(self, role: str) -> str:
        """The name that a string, number or truth value stands for."""
        return self._name(self.value(role), role)

    def names(self, role: str) -> tuple[str, ...]:
        """One name, or the distinct ones of several, in order."""
        value = self.value(role)
        if isinstance(value, str) and self.separator:
            value = value.split(self.separator)
        values: Sequence = value if isinstance(value, (list, tuple)) else [value]
        if not values:
            raise self.refused(
                role, "is an empty list; give a label, or drop such rows."
            )
        return tuple(dict.fromkeys(self._name(v, role) for v in values))

    def number(self, role: str) -> float:
        """A finite number, or the string of one."""
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
        # Most texts are ASCII, which is told at once.
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
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return self._text(value.strip(), role)
        if isinstance(value, (int, float)):
            return str(value)
        raise self.refused(
            role,
            f"holds {value!r:.60} where a name, a number or a list of them is"
            " expected.",
        )
