"""What an evaluation found, as one page."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import evaluation, reporting
from metaflax.files import write_text
from metaflax.reporting import Html
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._run_directory import RunDirectory

# What each record means, for those who did not make it.
CALIBRATION = (
    "How often answers are right, by how sure they are. The expected calibration error"
    " (Guo et al. 2017) is the mean distance between both over 15 bins of equal width."
    " The temperature is fitted on meta-validation episodes, and on no test episode."
    " Its interval is bootstrapped over episodes, and lies high where the error is"
    " small: a draw has fewer different episodes, which look less calibrated by chance."
)
CONFUSION = (
    "Queries of a class that were taken for another, of those asked where both were"
    " drawn. An episode counts as one query in the intervals, since its answers are"
    " alike."
)
DETECTION = (
    "In each episode as many texts that belong to no class as there are queries are"
    " scored beside them. AUROC is how often a query scores above such a text; the"
    " other number is the share of these texts that is kept at a bound that keeps 95 %"
    " of the queries. Means over episodes."
)
ADAPTATION = (
    "Learning from the support set of the first episode, from its tokens, compiled and"
    " warm. Seconds are the median of repetitions, with an interval of the median;"
    " memory is XLA's own account of it."
)


def report(
    run_dir: str | Path, console: Console | None = None, *, name: str = "evaluation"
) -> Path:
    """Writes the page of an evaluation from what it left.

    Args:
      run_dir: of a run that was evaluated.
      console: where the page's path goes; None for nowhere.
      name: of the evaluation.

    Returns:
      The path of `NAME.html` in the run directory.

    Raises:
      ValueError: if there is no such evaluation.
    """
    console = console_or_quiet(console)
    directory = RunDirectory(run_dir)
    config = directory.config()
    found = read_results(directory, name)
    if "config" not in found:  # What `train` leaves says it in files of its own.
        found["config"] = json.loads(config_lib.to_json(config))
        found["environment"] = directory.read_json("environment.json")
    path = directory.path / f"{name}.html"
    write_text(path, run_page(directory.path.name, found))
    console.print(f"The report is in {path}.", markup=False, soft_wrap=True)
    return path


def read_results(directory: RunDirectory, name: str) -> dict[str, Any]:
    """What an evaluation wrote.

    Raises:
      ValueError: if there is no such evaluation.
    """
    path = directory.path / f"{name}.json"
    if not path.is_file():
        raise ValueError(
            f"{path} is not there; run `metaflax evaluate {directory.path} --name"
            f" {name}` first."
        )
    found = directory.read_json(path.name)
    if not isinstance(found, dict) or "intervals" not in found:
        raise ValueError(f"{path} holds no evaluation; name one that `evaluate` wrote.")
    if "config" in found:
        # Under the current names of settings.
        config = config_lib.from_json(json.dumps(found["config"]))
        found["config"] = json.loads(config_lib.to_json(config))
    return found


def run_page(title: str, found: Mapping[str, Any]) -> str:
    """The page of one run, from the content of `NAME.json`."""
    sections = [scores_section(found)]
    if found.get("calibration"):
        sections.append(_calibration(found["calibration"]))
    if found.get("detection"):
        sections.append(_detection(found["detection"]))
    sections += _curves(found.get("curves", {}))
    if found.get("confusion"):
        sections.append(_confusion(found["confusion"]))
    if found.get("report"):
        sections.append(_classes(found["report"], found.get("classes", {})))
    if found.get("adaptation"):
        sections.append(_adaptation(found["adaptation"]))
    sections.append(_origin(found))
    algorithm = found["config"]["algorithm"]["name"]
    sizes = found["config"]["episodes"]
    said = (
        f"{algorithm}, way {sizes['way']}, shot {sizes['shot']},"
        f" {found['episodes']} test episodes"
    )
    return reporting.page(title, said, sections)


def intervals_of(found: Mapping[str, Any]) -> dict[str, dict[str, evaluation.Interval]]:
    """By method and metric, the intervals of an evaluation."""
    return {
        method: {metric: interval(own) for metric, own in by_metric.items()}
        for method, by_metric in found.items()
    }


def interval(record: Mapping[str, float]) -> evaluation.Interval:
    """An interval as it was before it became JSON."""
    return evaluation.Interval(**record)


def scores_section(found: Mapping[str, Any]) -> Html:
    """The scores of methods, and their differences from the first."""
    intervals = intervals_of(found["intervals"])
    first = next(iter(intervals))
    metrics = list(intervals[first])
    parts = [
        reporting.html_table(
            ["", *metrics],
            [[method, *_said(own, metrics)] for method, own in intervals.items()],
            "Means over episodes with 95 % intervals (Student's t)",
        )
    ]
    paired = intervals_of(found.get(f"paired_difference_from_{first}", {}))
    if paired:
        parts.append(
            reporting.html_table(
                ["", *metrics],
                [[m, *_said(own, metrics, sign=True)] for m, own in paired.items()],
                f"Paired differences from {first}, on the same episodes",
            )
        )
    if reporting.has_plots():
        shown = {method: own[metrics[0]] for method, own in intervals.items()}
        drawn = reporting.methods_figure(shown, metrics[0])
        parts.append(reporting.picture(drawn, f"{metrics[0]} of each method"))
    return reporting.section("Scores", *parts)


def _said(
    own: Mapping[str, evaluation.Interval], metrics: list[str], *, sign: bool = False
) -> list[str]:
    return [
        reporting.interval_text(metric, own[metric], sign=sign) for metric in metrics
    ]


def _calibration(found: Mapping[str, Any]) -> Html:
    names = {"as_is": "as it is"}
    if "scaled" in found:
        names["scaled"] = f"at temperature {found['temperature']:.3g}"
    rows = [
        [
            said,
            reporting.estimate_text(evaluation.Estimate(**found[key]["error"])),
            reporting.interval_text("log_loss", interval(found[key]["log_loss"])),
        ]
        for key, said in names.items()
    ]
    parts = [
        reporting.paragraph(CALIBRATION),
        reporting.html_table(["", "calibration error", "log loss"], rows),
    ]
    curves = {said: list(_points(found[key])) for key, said in names.items()}
    if reporting.has_plots():
        drawn = reporting.reliability_figure(
            {said: [point[:2] for point in points] for said, points in curves.items()}
        )
        parts.append(reporting.picture(drawn, "accuracy by confidence"))
    for said, points in curves.items():
        bins = [
            [f"{confidence:.3f}", count, reporting.estimate_text(accuracy)]
            for confidence, accuracy, count in points
        ]
        columns = ["mean confidence", "queries", "accuracy"]
        parts.append(
            reporting.folded(f"Bins, {said}", reporting.html_table(columns, bins))
        )
    return reporting.section("Calibration", *parts)


def _points(
    found: Mapping[str, Any],
) -> Iterator[tuple[float, evaluation.Estimate, int]]:
    """Of each bin that is not empty its confidence, accuracy and count."""
    columns = (found["confidence"], found["accuracy"], found["count"])
    for confidence, accuracy, count in zip(*columns, strict=True):
        if accuracy is not None:
            yield confidence, evaluation.Estimate(**accuracy), count


def _detection(found: Mapping[str, Any]) -> Html:
    rows = [
        [
            name.replace("_", " "),
            reporting.interval_text("auroc", interval(own["auroc"])),
            reporting.interval_text(
                "false_positives", interval(own["false_positives"])
            ),
        ]
        for name, own in found["scores"].items()
    ]
    columns = ["score", "AUROC", "out of scope kept at 95 % recall"]
    return reporting.section(
        "Out of scope",
        reporting.paragraph(DETECTION),
        reporting.html_table(columns, rows, f"Texts out of scope: {found['source']}"),
    )


def _curves(found: Mapping[str, Any]) -> Iterator[Html]:
    titles = {"shot": "By support examples", "inner_steps": "By inner steps"}
    for key, points in found.items():
        setting = key.replace("_", " ")
        metrics = list(points[0]["intervals"])
        own = {p["value"]: intervals_of({"": p["intervals"]})[""] for p in points}
        rows = [[value, *_said(at, metrics)] for value, at in own.items()]
        parts = [reporting.html_table([setting, *metrics], rows)]
        if reporting.has_plots():
            shown = {value: at[metrics[0]] for value, at in own.items()}
            drawn = reporting.curve_figure(shown, setting, metrics[0])
            parts.append(reporting.picture(drawn, f"{metrics[0]} by {setting}"))
        yield reporting.section(titles.get(key, setting), *parts)


def _confusion(found: Mapping[str, Any]) -> Html:
    rows = [
        [
            pair["true"],
            pair.get("predicted", pair.get("said")),  # "said" before 0.1.0.
            f"{pair['number']} of {pair['chances']}",
            reporting.estimate_text(evaluation.Estimate(**pair["share"])),
        ]
        for pair in found["pairs"]
    ]
    parts = [reporting.paragraph(CONFUSION)]
    if rows:
        columns = ["class", "taken for", "queries", "share"]
        parts.append(reporting.html_table(columns, rows))
    else:
        parts.append(reporting.paragraph("No query was taken for another class."))
    if "counts" in found:
        names, counts = found["names"], found["counts"]
        parts.append(reporting.matrix_table(names, counts, "true \\ said"))
    return reporting.section("Confusion", *parts)


def _classes(report: Mapping[str, Any], intervals: Mapping[str, Any]) -> Html:
    rows_by_name = {k: v for k, v in report.items() if isinstance(v, Mapping)}
    columns = list(next(iter(rows_by_name.values()), {}))

    def cell(name: str, column: str) -> str:
        value = rows_by_name[name][column]
        if column == "support":
            return str(int(value))
        if (own := intervals.get(name, {}).get(column)) is not None:
            return reporting.estimate_text(evaluation.Estimate(**own))
        return f"{value:.3f}"

    rows = [[name, *(cell(name, c) for c in columns)] for name in rows_by_name]
    told = reporting.html_table(["", *columns], rows)
    if len(rows) > 30:
        told = reporting.folded(f"{len(rows)} rows", told)
    return reporting.section("By class or domain", told)


def _adaptation(found: Mapping[str, Any]) -> Html:
    value, low, high = (
        1000 * found["seconds"][key] for key in ("value", "low", "high")
    )
    memory = found["memory_bytes"]
    told = {
        "time": f"{value:.2f} ms [{low:.2f}, {high:.2f}], {found['repetitions']} times",
        "device": found["device"],
        "memory in all": reporting.memory(memory["peak"]),
        "of it parameters and texts": reporting.memory(memory["arguments"]),
        "of it temporary": reporting.memory(memory["temporaries"]),
        "matrix products": f"{found['flops'] / 1e9:.2f} GFLOP",
    }
    rows = list(told.items())
    return reporting.section(
        "Cost of adapting to a task",
        reporting.paragraph(ADAPTATION),
        reporting.html_table(["", ""], rows),
    )


def _origin(found: Mapping[str, Any]) -> Html:
    environment = found["environment"]
    versions = {"python": environment["python"], **environment["packages"]}
    told = {
        "protocol": found["protocol"],
        "content": found.get("content", "not recorded"),
        "devices": ", ".join(environment["devices"]),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if v),
    }
    settings = {
        f"{group}.{name}": json.dumps(value, ensure_ascii=False)
        for group, own in found["config"].items()
        for name, value in own.items()
    }
    return reporting.section(
        "What was evaluated",
        reporting.paragraph(
            "Evaluations of the same protocol and content asked the same queries after"
            " the same support sets, and can be compared episode by episode."
        ),
        reporting.pairs_table(told),
        reporting.folded("Config", reporting.pairs_table(settings)),
    )
