"""Runs beside each other, on the same episodes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import data, evaluation, reporting
from metaflax.files import write_text
from metaflax.workflows.meta_testing._report import interval, read_results
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._run_directory import RunDirectory

METHOD = "after"


class Evaluated(NamedTuple):
    """An evaluation of a run's best parameters.

    Attributes:
      name: of the run.
      results: the content of `NAME.json`.
      scores: `[E]` by metric.
    """

    name: str
    results: dict[str, Any]
    scores: dict[str, np.ndarray]


def compare_runs(
    run_dirs: Sequence[str | Path],
    console: Console | None = None,
    *,
    name: str = "evaluation",
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Compares evaluations of runs on one list of episodes, the first with each.

    Args:
      run_dirs: two or more runs, each evaluated.
      console: where the table goes; None for nowhere.
      name: of their evaluations.
      out: HTML file to write, or none.

    Returns:
      `intervals` by run and metric, and `paired_bootstrap`, by run and metric the
      difference from the first with its bootstrap interval over episodes.

    Raises:
      ValueError: if a run was not evaluated, or the episodes of two differ, in numbers
        or in what these say.
    """
    console = console_or_quiet(console)
    if len(run_dirs) < 2:
        raise ValueError("a comparison is of two runs at least; name another one.")
    labels = _labels([Path(path) for path in run_dirs])
    runs = [_read(p, label, name) for p, label in zip(run_dirs, labels, strict=True)]
    first, *others = runs
    for other in others:
        _check_same(first, other)
    metrics = [m for m in first.scores if all(m in own.scores for own in runs)]
    intervals = {
        own.name: {m: interval(own.results["intervals"][METHOD][m]) for m in metrics}
        for own in runs
    }
    differences = {
        own.name: {
            m: evaluation.paired_bootstrap(first.scores[m], own.scores[m])
            for m in metrics
        }
        for own in others
    }
    rows = _rows(first.name, intervals, differences)
    columns = ["run", *(c for m in metrics for c in (m, f"{m}, difference"))]
    table = Table(title=f"{first.results['episodes']} episodes, the same for all")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if out is not None:
        write_text(Path(out), _page(runs, columns, rows, intervals))
        console.print(f"The page is {out}.", markup=False, soft_wrap=True)
    return {
        "protocol": first.results["protocol"],
        "intervals": _plain(intervals),
        "paired_bootstrap": _plain(differences),
    }


def _read(run_dir: str | Path, label: str, name: str) -> Evaluated:
    directory = RunDirectory(run_dir)
    directory.config()  # Refused, where there is no run.
    results = read_results(directory, name)
    path = directory.path / f"{name}.episodes.jsonl"
    if not path.is_file() or "content" not in results:
        raise ValueError(
            f"{path.with_suffix('').with_suffix('.json')} does not say what was asked"
            f" in each episode; run `metaflax evaluate {directory.path} --name {name}`"
            " again."
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
    """Names of folders, or whole paths where two are alike."""
    names = [path.absolute().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _rows(first: str, intervals: Any, differences: Any) -> list[list[str]]:
    """A row a run: of each metric the interval, and the difference from the first."""
    rows = []
    for run, own in intervals.items():
        row = [run]
        for metric, found in own.items():
            apart = "" if run == first else _apart(metric, differences[run][metric])
            row += [reporting.interval_text(metric, found), apart]
        rows.append(row)
    return rows


def _apart(metric: str, found: evaluation.Estimate) -> str:
    """A difference with the ends of its interval."""
    if metric in reporting.PERCENT:
        value, low, high = (100 * number for number in found)
        return f"{value:+.1f} % [{low:+.1f}, {high:+.1f}]"
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _plain(found: Any) -> dict[str, dict[str, Any]]:
    return {
        run: {metric: own._asdict() for metric, own in by_metric.items()}
        for run, by_metric in found.items()
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
        reporting.paragraph(
            "Means over episodes with 95 % intervals (Student's t), and paired"
            f" differences from {first.name} with percentile bootstrap intervals over"
            " the same episodes: a run is better where that interval lies above 0, or"
            " for a loss below it."
        ),
        reporting.html_table(columns, rows),
    ]
    if reporting.has_plots():
        shown = {run: own[metric] for run, own in intervals.items()}
        drawn = reporting.methods_figure(shown, metric)
        scores.append(reporting.picture(drawn, f"{metric} of each run"))
    sections = [reporting.section("Scores", *scores)]
    if (table := _beside(runs)) is not None:
        sections.append(reporting.section("Calibration, detection and cost", table))
    settings = {run.name: _settings(run) for run in runs}
    differing = [
        [key, *(own.get(key, "") for own in settings.values())]
        for key in settings[first.name]
        if len({own.get(key) for own in settings.values()}) > 1
    ]
    told = reporting.html_table(["", *settings], differing)
    none = reporting.paragraph("The configs are the same.")
    sections.append(
        reporting.section("Where the configs differ", told if differing else none)
    )
    origin = {
        "protocol": first.results["protocol"],
        "content": first.results["content"],
        "jax": ", ".join(
            f"{run.name}: {run.results['environment']['packages']['jax']}"
            for run in runs
        ),
    }
    sections.append(
        reporting.section("What was evaluated", reporting.pairs_table(origin))
    )
    return reporting.page(
        f"{len(runs)} runs compared",
        f"{first.results['episodes']} test episodes, the same for all",
        sections,
    )


def _beside(runs: Sequence[Evaluated]) -> Any:
    """What else the evaluations found, where all of them did."""
    rows = []
    found = [run.results for run in runs]
    if all("calibration" in own for own in found):
        errors = [own["calibration"]["as_is"]["error"] for own in found]
        said = [reporting.estimate_text(evaluation.Estimate(**own)) for own in errors]
        rows.append(["calibration error", *said])
    if all("detection" in own for own in found):
        for score in found[0]["detection"]["scores"]:
            areas = [own["detection"]["scores"][score]["auroc"] for own in found]
            said = [reporting.interval_text("auroc", interval(area)) for area in areas]
            rows.append([f"AUROC by the {score.replace('_', ' ')}", *said])
    if all("adaptation" in own for own in found):
        times = [own["adaptation"]["seconds"] for own in found]
        said = [
            f"{1000 * t['value']:.1f} ms [{1000 * t['low']:.1f},"
            f" {1000 * t['high']:.1f}]"
            for t in times
        ]
        rows.append(["adapting to an episode", *said])
        peaks = [own["adaptation"]["memory_bytes"]["peak"] for own in found]
        rows.append(["memory for it", *map(reporting.memory, peaks)])
    names = [run.name for run in runs]
    return reporting.html_table(["", *names], rows) if rows else None


def _settings(run: Evaluated) -> dict[str, str]:
    return {
        f"{group}.{name}": str(value)
        for group, own in run.results["config"].items()
        for name, value in own.items()
    }
