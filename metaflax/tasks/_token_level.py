"""The interface of task types with one output per token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class TokenOutputs(NamedTuple):
    """Logits of the tokens of some texts, on the host.

    Attributes:
      texts: texts of the task type's form.
      owners: for each row of tokens the number of its text; several rows where a text
        was cut to windows.
      spans: for each row the characters that its tokens stand for, int32 `[L_r, 2]`,
        -1 where a token stands for none.
      logits: `[R, L, N]`, padding from place `L_r` of row r on.
    """

    texts: Sequence[Any]
    owners: Sequence[int]
    spans: Sequence[np.ndarray]
    logits: np.ndarray


class TokenLevel(NamedTuple):
    """Encoding of targets of tokens, and scoring of predictions.

    The target of a token is a *code*, -1 for tokens without a target.

    Attributes:
      serves: the kind of targets that its heads must serve.
      scores: the names of the scores of `score`; model selection follows the first.
      place: `codes = place(text, target, spans, names)`, int32 `[L]`, the codes of the
        tokens of a row, from an example's `GoldLabel.target`, with the data's classes
        in the order of `names`.
      local: `codes = local(codes, classes, room)`, renumbered for an episode of these
        classes of the data and a head with room for `room` classes.
      score: `{name: number} = score(predictions, targets)`, of the predictions that
        `TaskType.decode` made of `TokenOutputs`, one a text.
      restrict: `target = restrict(target, names)`, the part of a target that belongs to
        these classes, those of an episode.
      rows: `{role: value} = rows(target)`, from which `TaskType.gold_label` reads it.
      report: `{name: {score: number}} = report(predictions, targets)`, over all queries
        of all episodes.
      lost: `number = lost(target, spans, codes)`, number of parts of an example's
        target that are in none of its rows, from their spans and codes.

    Examples:
      >>> from metaflax import tasks
      >>> level = tasks.entities().tokens
      >>> level.serves, level.scores
      ('classes', ('f1', 'precision', 'recall'))
    """

    serves: str
    scores: tuple[str, ...]
    place: Callable[[Any, Any, np.ndarray, Sequence[str]], np.ndarray]
    local: Callable[[np.ndarray, Sequence[int], int], np.ndarray]
    score: Callable[[Sequence[Mapping[str, Any]], Sequence[Any]], dict[str, float]]
    restrict: Callable[[Any, Sequence[str]], Any]
    rows: Callable[[Any], dict[str, Any]]
    report: Callable[
        [Sequence[Mapping[str, Any]], Sequence[Any]], dict[str, dict[str, float]]
    ]
    lost: Callable[[Any, Sequence[np.ndarray], Sequence[np.ndarray]], int]
