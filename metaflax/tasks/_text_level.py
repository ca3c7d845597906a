"""The interface of task types whose predictions are generated texts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from metaflax.tasks._forms import Form


class TextLevel(NamedTuple):
    """Generation and scoring of the texts of a task type.

    Attributes:
      source_form: the form of sources; None where texts are generated without a source.
      pair: `source, target = pair(text, target)`, of an example.
      prompt: `source, prefix = prompt(text)`, of an input: the source, and the
        beginning of the text to generate, which may be empty.
      generation_scores: the names of the scores of `score`; where there are none,
        evaluation generates nothing.
      score: `{name: number} = score(generated, references)`, of texts.
      rows: `{role: value} = rows(target)`, from which `TaskType.gold_label` reads it.
      recalls: numbers k: recall@k is a score too, the share of queries whose reference
        is among the k likeliest of the references of all queries of the episode.
      end: what ends a target, one token; None for what ends the model's texts.
      begins: whether a token between source and target begins the target; not needed
        with a template.

    Examples:
      >>> from metaflax import tasks
      >>> level = tasks.translation().texts
      >>> scores = level.score(["the cat sat down"], ["the cat sat down"])
      >>> print(f"{scores['chrf']:.1f} {scores['bleu']:.1f}")
      100.0 100.0
    """

    source_form: Form | None
    pair: Callable[[Any, Any], tuple[Any, str]]
    prompt: Callable[[Any], tuple[Any, str]]
    generation_scores: tuple[str, ...]
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    rows: Callable[[Any], dict[str, Any]]
    recalls: tuple[int, ...] = ()
    end: str | None = None
    begins: bool = True

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of all scores of texts beside their likelihood."""
        return *self.generation_scores, *map(recall_name, self.recalls)


def recall_name(k: int) -> str:
    """Returns the name of a score of `TextLevel.recalls`."""
    return f"recall@{k}"
