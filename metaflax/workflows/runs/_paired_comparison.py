"""Paired comparison of methods on the same episodes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, reporting, target_kinds
from metaflax.data.samplers._episodes import content_hash
from metaflax.reporting._tables import report_table
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._protocol import described_protocol, episode_protocol


def compare(
    evaluator: Evaluator,
    scores: dict[str, evaluation.Scores],
    console: Console,
    *,
    title: str,
) -> dict[str, Any]:
    """Compares methods on the same episodes and prints tables.

    Args:
      evaluator: evaluator that computed the scores.
      scores: scores by method; each method is compared with the first, and the report
        by class is that of the last.
      console: console that prints the tables.
      title: title of the table of scores.

    Returns:
      Number, protocol and content hash of the episodes, intervals, paired differences
      from the first method, and the report by class.
    """
    comparison = compare_scores(
        {method: s.metrics for method, s in scores.items()},
        (*evaluator.task.scores, "loss"),
        console,
        title=title,
    )
    report = evaluator.report(list(scores.values())[-1])
    if len(report) <= 40:
        console.print(report_table(report))
    return {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "content": content_hash(evaluator.episodes, evaluator.source.examples),
        **comparison,
        "report": report,
    }


def compare_scores(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    metrics: tuple[str, ...],
    console: Console,
    *,
    title: str,
) -> dict[str, Any]:
    """Compares methods by their scores of the same units and prints a table.

    Args:
      scores: scores `[E]` by method and metric; each method is compared with the first.
      metrics: metrics to compare.
      console: console that prints the table.
      title: title of the table.

    Returns:
      Intervals of the means, and of the paired differences from the first method.
    """
    columns = {
        method: {m: evaluation.mean_interval(by_metric[m]) for m in metrics}
        for method, by_metric in scores.items()
    }
    first, *others = scores
    paired = {
        method: {
            m: evaluation.paired_interval(scores[first][m], scores[method][m])
            for m in metrics
        }
        for method in others
    }
    table = dict(columns)
    if len(others) == 1:
        table["difference"] = paired[others[0]]
    console.print(reporting.comparison_table(title, table, metrics))
    return {
        "intervals": _to_records(columns),
        f"paired_difference_from_{first}": _to_records(paired),
    }


def _to_records(intervals: dict[str, dict[str, evaluation.Interval]]) -> Any:
    return {
        method: {m: i._asdict() for m, i in by_metric.items()}
        for method, by_metric in intervals.items()
    }


def describe(config: config_lib.Config) -> str:
    """Describes the algorithm, test episodes and what they use in one line."""
    used = described_protocol(episode_protocol(config), brief=True)
    return (
        f"{config.algorithm.name}, {describe_sizes(config)},"
        f" {config.evaluation.test_episodes} test episodes{used and f', {used}'}"
    )


def describe_sizes(
    config: config_lib.Config, sizes: config_lib.EpisodeConfig | None = None
) -> str:
    """Describes episode sizes in the terms of the target kind (default: of tests)."""
    kind = target_kinds.of(config_lib.build_task(config))
    return kind.describe_counts(sizes or config.episodes)
