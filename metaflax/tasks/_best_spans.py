"""Decoding of answers from start and end logits, on the host."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax.tasks._questions import Question
from metaflax.tasks._token_level import TokenOutputs

DIGITS = 6


class Candidate(NamedTuple):
    """Candidate passage, in characters, with the sum of its two logits."""

    logit: float
    start: int
    end: int


def decode_answers(
    outputs: TokenOutputs,
    names: Sequence[str] = (),
    *,
    n_best: int = 5,
    max_answer_length: int = 30,
    null_threshold: float = 0.0,
) -> list[dict[str, Any]]:
    """Decodes the most probable answer to each question, and the next best.

    The logit of a passage is the start logit of its first token plus the end logit of
    its last, the largest over windows that hold it; that of no answer is the same sum
    at [CLS], the least over windows, since every window without the answer predicts it.

    Args:
      outputs: logits `[R, L, 2]` of all rows of some questions.
      names: unused.
      n_best: the largest number of passages.
      max_answer_length: the largest number of tokens of a passage.
      null_threshold: how much larger than that of the best passage the logit of no
        answer must be to predict no answer.

    Returns:
      For each question `answer` with `start` and `end` in its context, or an empty
      `answer` at None; `null_odds`, the logit of no answer less that of the best
      passage, None where no passage is read; and `n_best` passages. Each `score` is a
      probability out of these passages and no answer, `null_score` that of the last.

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for
      Language Understanding <https://arxiv.org/abs/1810.04805>`_, 2018.
    """
    del names
    best_logits: list[dict[tuple[int, int], float]] = [{} for _ in outputs.texts]
    null = np.full(len(best_logits), np.inf)
    rows = zip(outputs.owners, outputs.spans, outputs.logits, strict=True)
    for owner, spans, logits in rows:
        null[owner] = min(null[owner], float(logits[0].sum()))
        for logit, *place in candidates(spans, logits, n_best, max_answer_length):
            key = (place[0], place[1])
            best_logits[owner][key] = max(logit, best_logits[owner].get(key, -np.inf))
    ranked = (
        sorted((Candidate(x, *place) for place, x in logits_of.items()), key=_first)[
            :n_best
        ]
        for logits_of in best_logits
    )
    return [
        _record(text, best, none, null_threshold)
        for text, best, none in zip(outputs.texts, ranked, null, strict=True)
    ]


def candidates(
    spans: np.ndarray, logits: np.ndarray, most: int, longest: int
) -> list[Candidate]:
    """Finds the passages of a row with the largest logits, in no order.

    Args:
      spans: characters of its tokens, `[L_r, 2]`.
      logits: `[L, 2]`.
      most: largest number of passages.
      longest: largest number of tokens of a passage.
    """
    inside = np.flatnonzero(spans[:, 0] >= 0)
    if not len(inside):
        return []
    starting, ending = np.asarray(logits, np.float64)[inside].T
    beyond = np.full(longest - 1, -np.inf)  # No passage ends behind the row.
    endings = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([ending, beyond]), longest
    )
    table = starting[:, None] + endings  # [first token, tokens - 1]
    flat = table.ravel()
    best = np.argpartition(-flat, min(most, flat.size) - 1)[:most]
    first, extra = np.unravel_index(best[np.isfinite(flat[best])], table.shape)
    return [
        Candidate(float(table[i, k]), int(spans[a, 0]), int(spans[b, 1]))
        for i, k, a, b in zip(
            first, extra, inside[first], inside[first + extra], strict=True
        )
    ]


def _first(candidate: Candidate) -> tuple[float, int, int]:
    """Sort key of candidates: the largest logit first, then the first in the text."""
    return -candidate.logit, candidate.start, candidate.end


def _record(
    text: Question, best: Sequence[Candidate], null: float, threshold: float
) -> dict[str, Any]:
    """Makes the prediction of one question."""
    logits = np.array([null, *(candidate.logit for candidate in best)])
    odds = np.exp(logits - logits.max())
    none, *scores = (float(p) for p in np.round(odds / odds.sum(), DIGITS))
    passages = [
        {
            "answer": text.context[candidate.start : candidate.end],
            "start": candidate.start,
            "end": candidate.end,
            "score": score,
        }
        for candidate, score in zip(best, scores, strict=True)
    ]
    nothing = {"answer": "", "start": None, "end": None, "score": none}
    null_odds = round(null - best[0].logit, DIGITS) if best else None
    answered = null_odds is not None and null_odds <= threshold
    return {
        **(passages[0] if answered else nothing),
        "null_score": none,
        "null_odds": null_odds,
        "n_best": passages,
    }
