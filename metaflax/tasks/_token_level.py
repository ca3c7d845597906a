"""What task types have in common that say something of the tokens of a text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Reading(NamedTuple):
    """What a model put out for the tokens of some texts, on the host.

    Attributes:
      texts: of the task type's form.
      owners: for each row of tokens the number of its text; several rows where a text
        was cut to windows.
      spans: for each row the characters that its tokens stand for, int32 `[L_r, 2]`,
        -1 where a token stands for none.
      logits: `[R, L, N]`, without meaning from place `L_r` of row r on.
    """

    texts: Sequence[Any]
    owners: Sequence[int]
    spans: Sequence[np.ndarray]
    logits: np.ndarray


class TokenLevel(NamedTuple):
    """How a task type speaks of tokens: to a model, and to people.

    What is right for a token is a *code*: -1 where nothing is said of it.

    Attributes:
      serves: the kind of targets that its heads must understand.
      scores: the names of what `judge` gives; model selection follows the first.
      place: `codes = place(text, target, spans, names)`, int32 `[L]`: what is right
        for the tokens of a row, from an example's `Truth.target`, with the data's
        classes in the order of `names`.
      local: `codes = local(codes, classes, room)`, in the numbers of an episode that
        drew these classes of the data, under a head with room for so many.
      judge: `{score: number} = judge(answers, targets)`, of the answers that
        `TaskType.decode` made of a `Reading`, one a text.
      asked: `target = asked(target, names)`, what of it an episode of these classes
        asks for.
      rows: `{role: value} = rows(target)`, which `TaskType.truth` reads back.
      report: `{name: {score: number}} = report(answers, targets)`, over all queries
        of all episodes.
      lost: `number = lost(target, spans, codes)`, how much of an example's target none
        of its rows holds, whose spans and codes are given.
    """

    serves: str
    scores: tuple[str, ...]
    place: Callable[[Any, Any, np.ndarray, Sequence[str]], np.ndarray]
    local: Callable[[np.ndarray, Sequence[int], int], np.ndarray]
    judge: Callable[[Sequence[Mapping[str, Any]], Sequence[Any]], dict[str, float]]
    asked: Callable[[Any, Sequence[str]], Any]
    rows: Callable[[Any], dict[str, Any]]
    report: Callable[
        [Sequence[Mapping[str, Any]], Sequence[Any]], dict[str, dict[str, float]]
    ]
    lost: Callable[[Any, Sequence[np.ndarray], Sequence[np.ndarray]], int]
