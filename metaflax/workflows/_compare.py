"""Methods compared on one list of episodes."""

from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, reporting
from metaflax.workflows._evaluator import Evaluator
from metaflax.workflows._text_evaluator import TextEvaluator


def compare(
    evaluator: Evaluator | TextEvaluator,
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
    metrics = (*evaluator.task.scores, "loss")
    columns = {
        method: {m: evaluation.mean_interval(s.metrics[m]) for m in metrics}
        for method, s in scores.items()
    }
    first, *others = scores
    paired = {
        method: {
            m: evaluation.paired_interval(
                scores[first].metrics[m], scores[method].metrics[m]
            )
            for m in metrics
        }
        for method in others
    }
    shown = dict(columns)
    if len(others) == 1:
        shown["difference"] = paired[others[0]]
    console.print(reporting.comparison_table(title, shown, metrics))
    report = evaluator.report(list(scores.values())[-1])
    if len(report) <= 40:
        console.print(reporting.report_table(report))
    return {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "intervals": _plain(columns),
        f"paired_difference_from_{first}": _plain(paired),
        "report": report,
    }


def _plain(intervals: dict[str, dict[str, evaluation.Interval]]) -> Any:
    return {
        method: {m: i._asdict() for m, i in by_metric.items()}
        for method, by_metric in intervals.items()
    }


def describe(config: config_lib.Config) -> str:
    """What was asked, in a line."""
    return (
        f"{config.algorithm.algorithm}, {describe_sizes(config)},"
        f" {config.evaluation.test_episodes} test episodes"
    )


def describe_sizes(config: config_lib.Config) -> str:
    """How large an episode is, in the words of its kind."""
    sizes = config.episodes
    what = {"numbers": "texts", "spans": "questions", "texts": "texts"}
    if (kind := config_lib.build_task(config).kind) in what:
        return f"{sizes.shot} support {what[kind]}"
    return f"{sizes.way}-way {sizes.shot}-shot"
