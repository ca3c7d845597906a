"""What task types have in common that say texts of their own."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from metaflax.tasks._forms import Form


class TextLevel(NamedTuple):
    """How a task type asks a language model for texts, and judges what it says.

    Attributes:
      reads: the form of what is read before anything is said; None where nothing is.
      pair: `read, said = pair(text, target)`, of an example: what a model reads of it,
        and what it is to say.
      prompt: `read, begun = prompt(text)`, of a text to answer: what a model reads of
        it, and the beginning of what it says, empty where it begins itself.
      judged: the names of what `judge` gives; nothing is generated where there are
        none.
      judge: `{score: number} = judge(said, true)`, of texts.
      rows: `{role: value} = rows(target)`, which `TaskType.truth` reads back.
      recalls: numbers k: how often the true text of a query is among the k likeliest of
        those of all queries of its episode is a score too.
    """

    reads: Form | None
    pair: Callable[[Any, Any], tuple[Any, str]]
    prompt: Callable[[Any], tuple[Any, str]]
    judged: tuple[str, ...]
    judge: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    rows: Callable[[Any], dict[str, Any]]
    recalls: tuple[int, ...] = ()

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of all that texts are scored by, beside their likelihood."""
        return *self.judged, *map(recall_name, self.recalls)


def recall_name(k: int) -> str:
    """The name of a score of `TextLevel.recalls`."""
    return f"recall@{k}"
