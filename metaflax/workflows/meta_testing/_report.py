"""HTML report of an evaluation."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import evaluation
from metaflax._files import write_text
from metaflax.config._files import to_json
from metaflax.evaluation._bootstrap import Estimate
from metaflax.reporting import _costs, _figures, _html
from metaflax.reporting._html import Html
from metaflax.reporting._tables import estimate_text, interval_text
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._protocol import described_protocol
from metaflax.workflows.runs._run_directory import RunDirectory

# Explanations of the sections, for readers who did not run the evaluation.
CALIBRATION = (
    "Accuracy of predictions by their confidence. The expected calibration error (Guo"
    " et al. 2017) is the mean absolute difference between both over 15 bins of equal"
    " width. The temperature is fitted on meta-validation episodes and on no test"
    " episode. The interval of the error is bootstrapped over episodes and is biased"
    " upwards where the error is small: a resample has fewer distinct episodes, which"
    " look less calibrated by chance."
)
CONFUSION = (
    "Queries of one class that were predicted as another, out of those in episodes that"
    " sampled both classes. The intervals count each episode as one query, since its"
    " predictions are correlated."
)
DETECTION = (
    "Each episode scores as many texts that belong to no class as it has queries. AUROC"
    " is the probability that a query scores above such a text; the other column is the"
    " share of these texts that is accepted at the threshold that accepts 95 % of the"
    " queries. Means over episodes."
)
ADAPTATION = (
    "Adaptation to the support set of the first episode, starting from its tokens,"
    " after compilation and a warm-up run. Time is the median of repetitions, with an"
    " interval of the median; memory is as reported by XLA."
)


def report(
    run_dir: str | Path, console: Console | None = None, *, name: str = "evaluation"
) -> Path:
    """Writes the HTML report of an evaluation.

    Args:
      run_dir: directory of a run that was evaluated.
      console: console that prints the report's path; None prints nothing.
      name: name of the evaluation.

    Returns:
      The path of `NAME.html` in the run directory.

    Raises:
      ValueError: if there is no such evaluation.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.report(folder)
      Traceback (most recent call last):
        ...
      ValueError: ... holds no run, as it has no config.json; name ...
    """
    console = console_or_quiet(console)
    directory = RunDirectory(run_dir)
    config = directory.config()
    results = read_results(directory, name)
    if "config" not in results:  # `train` writes them to separate files.
        results["config"] = json.loads(to_json(config))
        results["environment"] = directory.read_json("environment.json")
    path = directory.path / f"{name}.html"
    write_text(path, run_page(directory.path.name, results))
    console.print(f"The report is in {path}.", markup=False, soft_wrap=True)
    return path


def read_results(directory: RunDirectory, name: str) -> dict[str, Any]:
    """Reads the results of an evaluation.

    Raises:
      ValueError: if there is no such evaluation.
    """
    path = directory.path / f"{name}.json"
    if not path.is_file():
        raise ValueError(
            f"{path} is not there; run `metaflax evaluate {directory.path} --name"
            f" {name}` first."
        )
    results = directory.read_json(path.name)
    if not isinstance(results, dict) or "intervals" not in results:
        raise ValueError(f"{path} holds no evaluation; name one that `evaluate` wrote.")
    if "config" in results:
        # Former names of settings become the current ones.
        config = config_lib.from_json(json.dumps(results["config"]))
        results["config"] = json.loads(to_json(config))
    return results


def run_page(title: str, results: Mapping[str, Any]) -> str:
    """Renders the report of one run from the content of `NAME.json`."""
    sections = [scores_section(results)]
    if results.get("calibration"):
        sections.append(_calibration(results["calibration"]))
    if results.get("detection"):
        sections.append(_detection(results["detection"]))
    sections += _curves(results.get("curves", {}))
    if results.get("confusion"):
        sections.append(_confusion(results["confusion"]))
    if results.get("report"):
        sections.append(_classes(results["report"], results.get("classes", {})))
    if results.get("adaptation"):
        sections.append(_adaptation(results["adaptation"]))
    sections.append(_origin(results))
    algorithm = results["config"]["algorithm"]["name"]
    sizes = results["config"]["episodes"]
    used = described_protocol(results["used"], brief=True) if "used" in results else ""
    subtitle = (
        f"{algorithm}, way {sizes['way']}, shot {sizes['shot']},"
        f" {results['episodes']} test episodes{used and f', {used}'}"
    )
    return _html.page(title, subtitle, sections)


def intervals_of(
    results: Mapping[str, Any],
) -> dict[str, dict[str, evaluation.Interval]]:
    """Parses the intervals of an evaluation, by method and metric."""
    return {
        method: {metric: interval(record) for metric, record in by_metric.items()}
        for method, by_metric in results.items()
    }


def interval(record: Mapping[str, float | None]) -> evaluation.Interval:
    """Parses an interval from its JSON record, in which infinity and NaN are null.

    Examples:
      >>> interval({"mean": 0.5, "half_width": None})
      Interval(mean=0.5, half_width=inf)
    """
    mean, width = record["mean"], record["half_width"]
    return evaluation.Interval(
        math.nan if mean is None else mean, math.inf if width is None else width
    )


def estimate(record: Mapping[str, float | None]) -> Estimate:
    """Parses an estimate from its JSON record, in which NaN is null."""
    return Estimate(
        **{name: math.nan if x is None else x for name, x in record.items()}
    )


def scores_section(results: Mapping[str, Any]) -> Html:
    """Renders scores of the methods and their differences from the first."""
    intervals = intervals_of(results["intervals"])
    first = next(iter(intervals))
    metrics = list(intervals[first])
    parts = [
        _html.html_table(
            ["", *metrics],
            [[name, *_interval_texts(row, metrics)] for name, row in intervals.items()],
            "Means over episodes with 95 % intervals (Student's t)",
        )
    ]
    paired = intervals_of(results.get(f"paired_difference_from_{first}", {}))
    if paired:
        parts.append(
            _html.html_table(
                ["", *metrics],
                [
                    [name, *_interval_texts(row, metrics, sign=True)]
                    for name, row in paired.items()
                ],
                f"Paired differences from {first}, on the same episodes",
            )
        )
    if _figures.has_plots():
        plotted = {name: row[metrics[0]] for name, row in intervals.items()}
        figure = _figures.methods_figure(plotted, metrics[0])
        parts.append(_html.picture(figure, f"{metrics[0]} of each method"))
    return _html.section("Scores", *parts)


def _interval_texts(
    intervals: Mapping[str, evaluation.Interval],
    metrics: list[str],
    *,
    sign: bool = False,
) -> list[str]:
    return [interval_text(metric, intervals[metric], sign=sign) for metric in metrics]


def _calibration(record: Mapping[str, Any]) -> Html:
    names = {"as_is": "uncalibrated"}
    if "scaled" in record:
        names["scaled"] = f"at temperature {record['temperature']:.3g}"
    rows = [
        [
            name,
            estimate_text(estimate(record[key]["error"])),
            interval_text("log_loss", interval(record[key]["log_loss"])),
        ]
        for key, name in names.items()
    ]
    parts = [
        _html.paragraph(CALIBRATION),
        _html.html_table(["", "calibration error", "log loss"], rows),
    ]
    curves = {name: list(_points(record[key])) for key, name in names.items()}
    if _figures.has_plots():
        figure = _figures.reliability_figure(
            {name: [point[:2] for point in points] for name, points in curves.items()}
        )
        parts.append(_html.picture(figure, "accuracy by confidence"))
    for name, points in curves.items():
        bins = [
            [f"{confidence:.3f}", count, estimate_text(accuracy)]
            for confidence, accuracy, count in points
        ]
        columns = ["mean confidence", "queries", "accuracy"]
        parts.append(_html.folded(f"Bins, {name}", _html.html_table(columns, bins)))
    return _html.section("Calibration", *parts)


def _points(
    curve: Mapping[str, Any],
) -> Iterator[tuple[float, Estimate, int]]:
    """Yields mean confidence, accuracy and count of each bin that is not empty."""
    columns = (curve["confidence"], curve["accuracy"], curve["count"])
    for confidence, accuracy, count in zip(*columns, strict=True):
        if accuracy is not None:
            yield confidence, estimate(accuracy), count


def _detection(record: Mapping[str, Any]) -> Html:
    rows = [
        [
            name.replace("_", " "),
            interval_text("auroc", interval(intervals["auroc"])),
            interval_text("false_positives", interval(intervals["false_positives"])),
        ]
        for name, intervals in record["scores"].items()
    ]
    columns = ["score", "AUROC", "out of scope accepted at 95 % recall"]
    return _html.section(
        "Out of scope",
        _html.paragraph(DETECTION),
        _html.html_table(columns, rows, f"Texts out of scope: {record['source']}"),
    )


def _curves(curves: Mapping[str, Any]) -> Iterator[Html]:
    titles = {"shot": "By support examples", "inner_steps": "By inner steps"}
    for key, points in curves.items():
        setting = key.replace("_", " ")
        metrics = list(points[0]["intervals"])
        by_value = {p["value"]: intervals_of({"": p["intervals"]})[""] for p in points}
        rows = [
            [value, *_interval_texts(at, metrics)] for value, at in by_value.items()
        ]
        parts = [_html.html_table([setting, *metrics], rows)]
        if _figures.has_plots():
            plotted = {value: at[metrics[0]] for value, at in by_value.items()}
            figure = _figures.curve_figure(plotted, setting, metrics[0])
            parts.append(_html.picture(figure, f"{metrics[0]} by {setting}"))
        yield _html.section(titles.get(key, setting), *parts)


def _confusion(record: Mapping[str, Any]) -> Html:
    rows = [
        [
            pair["true"],
            pair.get("predicted", pair.get("said")),  # "said" before 0.1.0.
            f"{pair['number']} of {pair['chances']}",
            estimate_text(estimate(pair["share"])),
        ]
        for pair in record["pairs"]
    ]
    parts = [_html.paragraph(CONFUSION)]
    if rows:
        columns = ["true class", "predicted class", "queries", "share"]
        parts.append(_html.html_table(columns, rows))
    else:
        parts.append(_html.paragraph("No query was predicted as another class."))
    if "counts" in record:
        names, counts = record["names"], record["counts"]
        parts.append(_html.matrix_table(names, counts, "true \\ predicted"))
    return _html.section("Confusion", *parts)


def _classes(report: Mapping[str, Any], intervals: Mapping[str, Any]) -> Html:
    rows_by_name = {k: v for k, v in report.items() if isinstance(v, Mapping)}
    columns = list(next(iter(rows_by_name.values()), {}))

    def cell(name: str, column: str) -> str:
        value = rows_by_name[name][column]
        if column == "support":
            return str(int(value))
        if (share := intervals.get(name, {}).get(column)) is not None:
            return estimate_text(estimate(share))
        return "" if value is None else f"{value:.3f}"

    rows = [[name, *(cell(name, c) for c in columns)] for name in rows_by_name]
    table = _html.html_table(["", *columns], rows)
    if len(rows) > 30:
        table = _html.folded(f"{len(rows)} rows", table)
    return _html.section("By class or domain", table)


def _adaptation(record: Mapping[str, Any]) -> Html:
    value, low, high = (
        1000 * record["seconds"][key] for key in ("value", "low", "high")
    )
    memory, repetitions = record["memory_bytes"], record["repetitions"]
    values = {
        "time": f"{value:.2f} ms [{low:.2f}, {high:.2f}], {repetitions} repetitions",
        "device": record["device"],
        "peak memory": _costs.memory(memory["peak"]),
        "memory of parameters and texts": _costs.memory(memory["arguments"]),
        "memory of temporaries": _costs.memory(memory["temporaries"]),
        "matrix products": f"{record['flops'] / 1e9:.2f} GFLOP",
    }
    rows = list(values.items())
    return _html.section(
        "Cost of adapting to a task",
        _html.paragraph(ADAPTATION),
        _html.html_table(["", ""], rows),
    )


def _origin(results: Mapping[str, Any]) -> Html:
    environment = results["environment"]
    versions = {"python": environment["python"], **environment["packages"]}
    origin = {
        "protocol": results["protocol"],
        "content": results.get("content", "not recorded"),
        "devices": ", ".join(environment["devices"]),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if v),
    }
    settings = {
        f"{group}.{name}": json.dumps(value, ensure_ascii=False)
        for group, fields in results["config"].items()
        for name, value in fields.items()
    }
    return _html.section(
        "What was evaluated",
        _html.paragraph(
            "Evaluations with the same protocol and content used the same support and"
            " query sets, and can be compared episode by episode."
        ),
        _html.pairs_table(origin),
        _html.folded("Config", _html.pairs_table(settings)),
    )
