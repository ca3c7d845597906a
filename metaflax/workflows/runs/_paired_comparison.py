"""Methods compared on one list of episodes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, reporting, target_kinds
from metaflax.workflows.runs._evaluator import Evaluator


def compare(
    evaluator: Evaluator,
    scores: dict[str, evaluation.Scores],
    console: Console,
    *,
    title: str,
) -> dict[str, Any]:
    """Tables and numbers of methods on one list of episodes.

    Args:
      evaluator: that made the scores.
      scores: by method; each is compared with the first, and the last is reported in
        full.
      console: gets the tables.
      title: above them.

    Returns:
      Protocol, intervals, paired differences from the first and the report.
    """
    found = compare_scores(
        {method: s.metrics for method, s in scores.items()},
        (*evaluator.task.scores, "loss"),
        console,
        title=title,
    )
    report = evaluator.report(list(scores.values())[-1])
    if len(report) <= 40:
        console.print(reporting.report_table(report))
    return {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "content": data.content_hash(evaluator.episodes, evaluator.source.examples),
        **found,
        "report": report,
    }


def compare_scores(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    metrics: tuple[str, ...],
    console: Console,
    *,
    title: str,
) -> dict[str, Any]:
    """A table and numbers of methods, from what each scored on the same units.

    Args:
      scores: by method and metric `[E]`; each method is compared with the first.
      metrics: those that count.
      console: gets the table.
      title: above it.

    Returns:
      Intervals, and those of paired differences from the first.
    """
    columns = {
        method: {m: evaluation.mean_interval(own[m]) for m in metrics}
        for method, own in scores.items()
    }
    first, *others = scores
    paired = {
        method: {
            m: evaluation.paired_interval(scores[first][m], scores[method][m])
            for m in metrics
        }
        for method in others
    }
    shown = dict(columns)
    if len(others) == 1:
        shown["difference"] = paired[others[0]]
    console.print(reporting.comparison_table(title, shown, metrics))
    return {
        "intervals": _plain(columns),
        f"paired_difference_from_{first}": _plain(paired),
    }


def _plain(intervals: dict[str, dict[str, evaluation.Interval]]) -> Any:
    return {
        method: {m: i._asdict() for m, i in by_metric.items()}
        for method, by_metric in intervals.items()
    }


def describe(config: config_lib.Config) -> str:
    """What was asked, in a line."""
    return (
        f"{config.algorithm.name}, {describe_sizes(config)},"
        f" {config.evaluation.test_episodes} test episodes"
    )


def describe_sizes(config: config_lib.Config) -> str:
    """How large an episode is, in the words of its kind."""
    kind = target_kinds.of(config_lib.build_task(config))
    return kind.describe_counts(config.episodes)
