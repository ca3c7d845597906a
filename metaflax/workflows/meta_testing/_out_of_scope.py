"""Scoring texts that belong to no class beside the queries of test episodes."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from metaflax import data, evaluation, reporting
from metaflax.workflows.runs._episodes import coarse_buckets, columns
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run


def detector(run: Run, source: str | Path) -> Evaluator:
    """Scores a run's test episodes with texts out of scope behind their queries.

    Raises:
      ValueError: if the file has no such texts, or the task type no classes to be out
        of.
    """
    test, named = run.test, columns(run.config.data)
    model: Any = run.model
    if not run.test_evaluator().has_single_labels:
        raise ValueError(
            "texts out of scope are told from those of classes, and the task type is"
            f" {run.config.data.task!r}; leave out-of-scope out."
        )
    if run.task.others:
        raise ValueError(
            f"the task type {run.config.data.task!r} with none_rate has an answer"
            f" {run.task.others[0]!r} of its own; leave out-of-scope out."
        )
    parts = (run.splits.train, run.splits.valid, run.splits.test)
    known = {text for part in parts for text in part.texts}
    form, text, pair = run.task.form, named["text"], named["text_pair"]
    texts = data.out_of_scope_texts(source, known, form=form, text=text, text_pair=pair)
    examples = test.examples
    tokenized = model.tokenize((*examples.texts, *texts), run.config.data, form)
    sampler = data.WithOutOfScope(test.sampler, len(examples), len(texts))
    buckets = coarse_buckets(tokenized)
    episodes = test._replace(tokenized=tokenized, sampler=sampler, buckets=buckets)
    return run._replace(test=episodes).test_evaluator()


def detection_record(
    evaluator: Evaluator, params: Any, source: str | Path, console: Console
) -> dict[str, Any]:
    """How well a run's best parameters tell queries from texts out of scope.

    Args:
      evaluator: what `detector` made.
      params: to be scored.
      source: of the texts, for the record.
      console: gets a line.

    Returns:
      The record: by score, `auroc` and `false_positives` at a recall of 95 %.
    """
    logits, _ = evaluator.query_logits(evaluator(params))
    halves = [np.split(own, 2) for own in logits]  # Queries, then as many others.
    found = evaluation.detection([a for a, _ in halves], [b for _, b in halves])
    for name, scores in found.items():
        console.print(
            f"out of scope by the {name.replace('_', ' ')}: AUROC"
            f" {reporting.interval_text('auroc', scores['auroc'])}, kept at 95 % recall"
            f" {reporting.interval_text('false_positives', scores['false_positives'])}",
            soft_wrap=True,
        )
    return {
        "source": Path(source).name,
        "episodes": len(evaluator.episodes),
        "recall": 0.95,
        "scores": {
            name: {metric: own._asdict() for metric, own in scores.items()}
            for name, scores in found.items()
        },
    }
