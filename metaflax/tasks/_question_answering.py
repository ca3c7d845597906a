"""Extractive question answering: spans of a context as answers."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaflax import losses, metrics
from metaflax.tasks._base import GoldLabel, TaskType
from metaflax.tasks._best_spans import decode_answers
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Form
from metaflax.tasks._questions import (
    Answer,
    answers_row,
    question_row,
    read_answers,
    read_question,
)
from metaflax.tasks._span_codes import num_lost, span_codes
from metaflax.tasks._token_level import TokenLevel
from metaflax.tasks._windows import encode_questions

# Names of the two logits of a token.
ENDS = ("start", "end")

QUESTION = Form(
    name="question",
    required=("question", "context"),
    read=read_question,
    row=question_row,
    encode=encode_questions,
    windows=True,
)


def question_answering(
    *, n_best: int = 5, max_answer_length: int = 30, null_threshold: float = 0.0
) -> TaskType:
    """Extractive question answering, with unanswerable questions.

    A context that is too long is read in windows that overlap by half. A token may be
    the first or the last of the answer; [CLS] is both where a window holds none. Heads
    classify every token (`heads.span`), on `models.encoder(pooling="tokens")`.

    Args:
      n_best: the largest number of candidate passages in a prediction.
      max_answer_length: the largest number of tokens of an answer.
      null_threshold: how much larger than that of the best passage the logit of no
        answer must be to predict no answer; values below 0 predict it more often.

    Returns:
      A `TaskType` whose targets are codes `[S, L]` (`SpanCode`) and whose outputs
      are logits `[S, L, 2]`. Answers are scored by SQuAD's F1 of words, which model
      selection follows, and exact match.

    Raises:
      ValueError: if the first two are not positive.

    Examples:
      >>> from metaflax.tasks import Fields, question_answering
      >>> row = Fields({"question": "Who?", "context": "Ada wrote it.",
      ...               "answers": [{"text": "Ada", "start": 0}]}, "a.jsonl:1")
      >>> task = question_answering()
      >>> task.form.read(row), task.gold_label(row).target[0].text
      (Question(question='Who?', context='Ada wrote it.'), 'Ada')

    References:
      Rajpurkar et al., `SQuAD: 100,000+ Questions for Machine Comprehension of Text
      <https://arxiv.org/abs/1606.05250>`_, 2016, and `Know What You Don't Know
      <https://arxiv.org/abs/1806.03822>`_, 2018; Devlin et al., `BERT
      <https://arxiv.org/abs/1810.04805>`_, 2018, windows and answers of logits.
    """
    for name, count in (("n_best", n_best), ("max_answer_length", max_answer_length)):
        if count < 1:
            raise ValueError(f"{name} is {count}; give 1 or more.")
    return TaskType(
        kind="spans",
        loss=losses.span_cross_entropy,
        metrics={},
        decode=functools.partial(
            decode_answers,
            n_best=n_best,
            max_answer_length=max_answer_length,
            null_threshold=null_threshold,
        ),
        form=QUESTION,
        gold_label=read_gold_label,
        classes=lambda names: ENDS,
        head_size=lambda way: len(ENDS),
        tokens=TokenLevel(
            serves="spans",
            scores=("f1", "exact_match"),
            place=span_codes,
            local=lambda codes, classes, room: codes,
            score=score_answers,
            restrict=lambda answers, names: answers,
            rows=answers_row,
            report=report_answers,
            lost=lambda answers, spans, codes: num_lost(answers, codes),
        ),
    )


def read_gold_label(fields: Fields) -> GoldLabel:
    """Reads all gold answers to a question, which has no label."""
    return GoldLabel(target=read_answers(fields))


def score_answers(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Sequence[Answer]]
) -> dict[str, float]:
    """Computes SQuAD's F1 and exact match, means over questions.

    Examples:
      >>> score_answers([{"answer": "the notes"}], [[Answer("notes", 4, 9)]])
      {'f1': 1.0, 'exact_match': 1.0}
    """
    texts = [[answer.text for answer in answers] for answers in targets]
    pairs = list(zip([record["answer"] for record in predictions], texts, strict=True))
    return {
        "f1": float(np.mean([metrics.token_f1(*pair) for pair in pairs])),
        "exact_match": float(np.mean([metrics.exact_match(*pair) for pair in pairs])),
    }


def report_answers(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Sequence[Answer]]
) -> dict[str, dict[str, float]]:
    """Computes scores of answerable questions, unanswerable ones and all."""
    groups = {
        "answerable": [n for n, answers in enumerate(targets) if answers],
        "unanswerable": [n for n, answers in enumerate(targets) if not answers],
        "all": list(range(len(targets))),
    }
    return {
        name: {
            **score_answers(
                [predictions[n] for n in group], [targets[n] for n in group]
            ),
            "support": len(group),
        }
        for name, group in groups.items()
        if group
    }
