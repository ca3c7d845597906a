"""Counts of the remarks of task types about rows."""

import dataclasses
from collections.abc import Iterable

from metaflax.tasks._base import Remark


@dataclasses.dataclass
class Remarks:
    """Counts remarks about rows and keeps the first of each kind.

    Examples:
      >>> remarks = Remarks()
      >>> for place in ("a.csv:2", "a.csv:3"):
      ...     remarks.add(place, [Remark("texts are short", "'a'")])
      >>> remarks.sentences()
      ["2 texts are short, the first at a.csv:2: 'a'."]
    """

    _counts: dict[str, int] = dataclasses.field(default_factory=dict)
    _first: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, place: str, remarks: Iterable[Remark]) -> None:
        """Counts the remarks about the row of a place."""
        for what, example in remarks:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._first.setdefault(what, f"{place}: {example}")

    def sentences(self) -> list[str]:
        """Returns a sentence for each kind of remark."""
        return [
            f"{count} {what}, the first at {self._first[what]}."
            for what, count in self._counts.items()
        ]
