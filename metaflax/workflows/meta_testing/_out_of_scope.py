"""Out-of-scope detection on the queries of test episodes."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from metaflax.data.samplers._out_of_scope import WithOutOfScope, out_of_scope_texts
from metaflax.evaluation import _detection
from metaflax.reporting._tables import interval_text
from metaflax.workflows.runs._buckets import coarse_buckets
from metaflax.workflows.runs._episode_texts import EncodedTexts
from metaflax.workflows.runs._episodes import columns
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run


def detector(run: Run, source: str | Path) -> Evaluator:
    """Builds an evaluator of test episodes with out-of-scope texts after the queries.

    Raises:
      ValueError: if the file has no such texts, or the task type has no classes, or
        predicts "none of the classes" itself.
    """
    test, named = run.test, columns(run.config.data)
    model: Any = run.model
    if not run.test_evaluator().has_single_labels:
        raise ValueError(
            "out-of-scope detection needs a single class per text, and the task type is"
            f" {run.config.data.task!r}; leave out --out-of-scope."
        )
    if run.task.others:
        raise ValueError(
            f"the task type {run.config.data.task!r} with none_rate already"
            f" predicts {run.task.others[0]!r}; leave out --out-of-scope."
        )
    parts = (run.splits.train, run.splits.valid, run.splits.test)
    known = {text for part in parts for text in part.texts}
    form, text, pair = run.task.form, named["text"], named["text_pair"]
    texts = out_of_scope_texts(source, known, form=form, text=text, text_pair=pair)
    tokenized = model.tokenize((*test.inputs, *texts), run.config.data, form)
    sampler = WithOutOfScope(test.sampler, len(test.inputs), len(texts))
    both = EncodedTexts(tokenized, coarse_buckets(tokenized))
    episodes = test._replace(texts=both, sampler=sampler)
    return run._replace(test=episodes).test_evaluator()


def detection_record(
    evaluator: Evaluator, params: Any, source: str | Path, console: Console
) -> dict[str, Any]:
    """Measures how well parameters distinguish queries from out-of-scope texts.

    Args:
      evaluator: evaluator from `detector`.
      params: meta-parameters to score.
      source: file of the out-of-scope texts, for the record.
      console: console that prints one line per score.

    Returns:
      The record: `auroc`, and `false_positives` at a recall of 95 %, by score.
    """
    logits, _ = evaluator.query_logits(evaluator(params))
    # [2 Q]: queries, then as many out-of-scope texts.
    halves = [np.split(array, 2) for array in logits]
    detection = _detection.detection([a for a, _ in halves], [b for _, b in halves])
    for name, scores in detection.items():
        false_positives = interval_text("false_positives", scores["false_positives"])
        console.print(
            f"out-of-scope detection by the {name.replace('_', ' ')}: AUROC"
            f" {interval_text('auroc', scores['auroc'])}, accepted at 95 %"
            f" recall {false_positives}",
            soft_wrap=True,
        )
    return {
        "source": Path(source).name,
        "episodes": len(evaluator.episodes),
        "recall": 0.95,
        "scores": {
            name: {metric: interval._asdict() for metric, interval in scores.items()}
            for name, scores in detection.items()
        },
    }
