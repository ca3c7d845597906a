"""Comparison of runs on the same test episodes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import data, evaluation
from metaflax._files import write_text
from metaflax._wording import counted
from metaflax.evaluation._bootstrap import Estimate
from metaflax.reporting import _html
from metaflax.reporting._costs import memory
from metaflax.reporting._figures import has_plots, methods_figure
from metaflax.reporting._tables import PERCENT, estimate_text, interval_text
from metaflax.workflows.meta_testing._report import estimate, interval, read_results
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._protocol import described_protocol
from metaflax.workflows.runs._run_directory import RunDirectory

METHOD = "after"
# Columns of the table that hold no numbers.
TEXTS = ("run", "used")
# Note for runs whose predictions used different information.
DIFFERING_USE = (
    "The runs did not use the same information, see the column used: a difference is"
    " not one of the methods alone."
)


class Evaluated(NamedTuple):
    """Results of a run's best parameters.

    Attributes:
      name: label of the run.
      results: content of `NAME.json`.
      scores: score of each episode, `[E]`, by metric.
    """

    name: str
    results: dict[str, Any]
    scores: dict[str, np.ndarray]

    @property
    def used(self) -> str:
        """Record of inputs of the predictions; empty for runs of an earlier version."""
        used = self.results.get("used")
        return "" if used is None else described_protocol(used)


def compare_runs(
    run_dirs: Sequence[str | Path],
    console: Console | None = None,
    *,
    name: str = "evaluation",
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Compares evaluations of runs on the same episodes, each with the first run.

    Args:
      run_dirs: directories of two or more evaluated runs.
      console: console that prints the table; None prints nothing.
      name: name of their evaluations.
      out: HTML file to write; None writes none.

    Returns:
      `protocol`, `used`, the inputs of each run's predictions (see `evaluate`),
      `intervals` by run and metric, and `paired_bootstrap`, the differences from the
      first run with bootstrap intervals over episodes, by run and metric.

    Raises:
      ValueError: if a run was not evaluated, or the episodes of two runs differ in row
        numbers or in texts.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.compare_runs(["runs/protonet"])
      Traceback (most recent call last):
        ...
      ValueError: a comparison needs two runs at least; give another one.
    """
    console = console_or_quiet(console)
    if len(run_dirs) < 2:
        raise ValueError("a comparison needs two runs at least; give another one.")
    labels = _labels([Path(path) for path in run_dirs])
    runs = [_read(p, label, name) for p, label in zip(run_dirs, labels, strict=True)]
    first, *others = runs
    for other in others:
        _check_same(first, other)
    metrics = [m for m in first.scores if all(m in run.scores for run in runs)]
    intervals = {
        run.name: {m: interval(run.results["intervals"][METHOD][m]) for m in metrics}
        for run in runs
    }
    differences = {
        run.name: {
            m: evaluation.paired_bootstrap(first.scores[m], run.scores[m])
            for m in metrics
        }
        for run in others
    }
    rows = _rows(runs, intervals, differences)
    columns = ["run", *(c for m in metrics for c in (m, f"{m}, difference")), "used"]
    episodes = counted(first.results["episodes"], "episode")
    table = Table(title=f"{episodes}, the same for all")
    for column in columns:
        table.add_column(column, justify="left" if column in TEXTS else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if _uses_differ(runs):
        report_notes([DIFFERING_USE], console)
    if out is not None:
        write_text(Path(out), _page(runs, columns, rows, intervals))
        console.print(f"The page is {out}.", markup=False, soft_wrap=True)
    return {
        "protocol": first.results["protocol"],
        "used": {run.name: run.results.get("used") for run in runs},
        "intervals": _to_records(intervals),
        "paired_bootstrap": _to_records(differences),
    }


def _read(run_dir: str | Path, label: str, name: str) -> Evaluated:
    directory = RunDirectory(run_dir)
    directory.config()  # Raises if there is no run.
    results = read_results(directory, name)
    path = directory.path / f"{name}.episodes.jsonl"
    if not path.is_file() or "content" not in results:
        raise ValueError(
            f"{path.with_suffix('').with_suffix('.json')} lacks a content hash or"
            f" scores by episode; run `metaflax evaluate {directory.path} --name"
            f" {name}` again."
        )
    rows = [row[METHOD] for _, row in data.read_rows(path)]
    scores = {
        metric: np.array([row[metric] for row in rows])
        for metric in results["intervals"][METHOD]
    }
    return Evaluated(label, results, scores)


def _check_same(first: Evaluated, other: Evaluated) -> None:
    for key, what in (("protocol", "protocols"), ("content", "texts")):
        one, two = first.results[key], other.results[key]
        if one != two:
            raise ValueError(
                f"{first.name} and {other.name} were evaluated on different episodes:"
                f" their {what} are {one[:12]} and {two[:12]}. Evaluate both with the"
                " same data, sizes, test-episodes and test-seed."
            )


def _labels(paths: Sequence[Path]) -> list[str]:
    """Labels runs by folder names, or by whole paths if names repeat."""
    names = [path.absolute().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _rows(runs: Sequence[Evaluated], intervals: Any, differences: Any) -> list[Any]:
    """Formats a row per run: intervals, differences and inputs of predictions."""
    rows = []
    for run in runs:
        row = [run.name]
        for metric, mean in intervals[run.name].items():
            difference = ""
            if run.name in differences:
                difference = _difference_text(metric, differences[run.name][metric])
            row += [interval_text(metric, mean), difference]
        rows.append([*row, run.used or "not recorded"])
    return rows


def _uses_differ(runs: Sequence[Evaluated]) -> bool:
    """Returns whether the predictions of runs used different information, if known."""
    return len({run.used for run in runs if run.used}) > 1


def _difference_text(metric: str, difference: Estimate) -> str:
    """Formats a difference with the bounds of its interval."""
    if metric in PERCENT:
        value, low, high = (100 * number for number in difference)
        return f"{value:+.1f} % [{low:+.1f}, {high:+.1f}]"
    low, high = difference.low, difference.high
    return f"{difference.value:+.4f} [{low:+.4f}, {high:+.4f}]"


def _to_records(estimates: Any) -> dict[str, dict[str, Any]]:
    return {
        run: {metric: estimate._asdict() for metric, estimate in by_metric.items()}
        for run, by_metric in estimates.items()
    }


def _page(
    runs: Sequence[Evaluated],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    intervals: dict[str, dict[str, evaluation.Interval]],
) -> str:
    first = runs[0]
    metric = next(iter(intervals[first.name]))
    scores = [
        _html.paragraph(
            "Means over episodes with 95 % intervals (Student's t), and paired"
            f" differences from {first.name} with percentile bootstrap intervals over"
            " the same episodes: a run is better than the first if the interval of the"
            " difference lies above 0, or below 0 for a loss."
        ),
        _html.html_table(columns, rows),
    ]
    if _uses_differ(runs):
        scores.append(_html.paragraph(DIFFERING_USE))
    if has_plots():
        plotted = {run: by_metric[metric] for run, by_metric in intervals.items()}
        figure = methods_figure(plotted, metric)
        scores.append(_html.picture(figure, f"{metric} of each run"))
    sections = [_html.section("Scores", *scores)]
    if (table := _further_results(runs)) is not None:
        sections.append(_html.section("Calibration, detection and cost", table))
    settings = {run.name: _settings(run) for run in runs}
    differing = [
        [key, *(values.get(key, "") for values in settings.values())]
        for key in settings[first.name]
        if len({values.get(key) for values in settings.values()}) > 1
    ]
    table = _html.html_table(["", *settings], differing)
    none = _html.paragraph("The configs are the same.")
    sections.append(_html.section("Differing settings", table if differing else none))
    origin = {
        "protocol": first.results["protocol"],
        "content": first.results["content"],
        "jax": ", ".join(
            f"{run.name}: {run.results['environment']['packages']['jax']}"
            for run in runs
        ),
    }
    sections.append(_html.section("What was evaluated", _html.pairs_table(origin)))
    return _html.page(
        f"{len(runs)} runs compared",
        f"{first.results['episodes']} test episodes, the same for all",
        sections,
    )


def _further_results(runs: Sequence[Evaluated]) -> Any:
    """Renders calibration, detection and cost where all evaluations have them."""
    rows = []
    results = [run.results for run in runs]
    if all("calibration" in result for result in results):
        errors = [result["calibration"]["as_is"]["error"] for result in results]
        texts = [estimate_text(estimate(e)) for e in errors]
        rows.append(["calibration error", *texts])
    if all("detection" in result for result in results):
        for score in results[0]["detection"]["scores"]:
            areas = [r["detection"]["scores"][score]["auroc"] for r in results]
            texts = [interval_text("auroc", interval(area)) for area in areas]
            rows.append([f"AUROC of the {score.replace('_', ' ')}", *texts])
    if all("adaptation" in result for result in results):
        times = [result["adaptation"]["seconds"] for result in results]
        texts = [
            f"{1000 * t['value']:.1f} ms [{1000 * t['low']:.1f},"
            f" {1000 * t['high']:.1f}]"
            for t in times
        ]
        rows.append(["time of adaptation", *texts])
        peaks = [result["adaptation"]["memory_bytes"]["peak"] for result in results]
        rows.append(["peak memory of adaptation", *map(memory, peaks)])
    names = [run.name for run in runs]
    return _html.html_table(["", *names], rows) if rows else None


def _settings(run: Evaluated) -> dict[str, str]:
    return {
        f"{group}.{name}": str(value)
        for group, fields in run.results["config"].items()
        for name, value in fields.items()
    }
