"""Table and plot of the trials of a search."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from metaflax import _files

# Largest number of rows of the table, and number of columns of the plot.
MOST_ROWS, COLUMNS = 20, 3


def short(value: Any) -> str:
    """Formats a setting for a table.

    Examples:
      >>> short(0.000123456), short(("head", "*/bias")), short("ridge")
      ('0.000123', 'head */bias', 'ridge')
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def search_table(trials: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """Makes a table of trials: complete ones, best first, then the others.

    Args:
      trials: of `search.json`.
      metric: name of the score.

    Returns:
      A rich table of at most 20 rows.
    """
    names = list(trials[0]["settings"]) if trials else []
    table = Table(title="search, scores of validation")
    for column in ("trial", metric, "", *(name.rpartition(".")[2] for name in names)):
        justify = "left" if column == "" else "right"
        table.add_column(column, justify=justify, overflow="fold")
    ordered = sorted(
        trials,
        key=lambda t: (t["state"] != "complete", -(t["score"] or 0.0), t["number"]),
    )
    for trial in ordered[:MOST_ROWS]:
        score = "" if trial["score"] is None else f"{trial['score']:.4f}"
        state = "" if trial["state"] == "complete" else trial["state"]
        values = [short(trial["settings"].get(name, "")) for name in names]
        table.add_row(str(trial["number"]), score, state, *values)
    if len(ordered) > MOST_ROWS:
        table.caption = f"and {len(ordered) - MOST_ROWS} more, in search.json"
    return table


def plot_search(
    path: Path,
    trials: Sequence[Mapping[str, Any]],
    metric: str,
    on_logs: Collection[str] = (),
) -> None:
    """Plots the scores of a search by trial and against each setting.

    Args:
      path: the PNG file to write.
      trials: of `search.json`.
      metric: name of the score.
      on_logs: settings whose axis is logarithmic.

    Raises:
      ValueError: if matplotlib is not installed.
    """
    try:
        import matplotlib.figure as figure
    except ImportError as error:
        raise ValueError(
            "plots need the extra: pip install 'metaflax[plots]'."
        ) from error
    scored = [trial for trial in trials if trial["score"] is not None]
    names = list(scored[0]["settings"]) if scored else []
    rows = math.ceil((len(names) + 1) / COLUMNS)
    picture = figure.Figure(figsize=(3.6 * COLUMNS, 2.9 * rows), layout="constrained")
    axes = list(picture.subplots(rows, COLUMNS, squeeze=False, sharey=True).flat)
    for unused in axes[len(names) + 1 :]:
        unused.set_visible(False)
    for first in axes[::COLUMNS]:
        first.set_ylabel(f"validation {metric}")
    _over_trials(axes[0], scored)
    for axis, name in zip(axes[1:], names, strict=False):
        _against(axis, scored, name, name in on_logs)
    # Outside of the axes, so that it hides no trial.
    picture.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3
    )
    with _files.atomic_write(path, "wb") as file:
        picture.savefig(file, dpi=120, format="png")


def _over_trials(axis: Any, trials: Sequence[Mapping[str, Any]]) -> None:
    _dots(axis, trials, [trial["number"] for trial in trials])
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = [
        max(trial["score"] for trial in complete[: i + 1]) for i in range(len(complete))
    ]
    numbers = [trial["number"] for trial in complete]
    axis.step(numbers, best, where="post", color="tab:orange", label="best so far")
    axis.set_xlabel("trial")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _against(
    axis: Any, trials: Sequence[Mapping[str, Any]], name: str, on_logs: bool
) -> None:
    values = [trial["settings"][name] for trial in trials]
    axis.set_xlabel(name)
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        _dots(axis, trials, values)
        if on_logs:
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter("")  # The numbers would overlap.
        elif all(isinstance(v, int) for v in values):
            axis.xaxis.get_major_locator().set_params(integer=True)
        return
    names = sorted({short(value) for value in values})
    _dots(axis, trials, [names.index(short(value)) for value in values])
    axis.set_xticks(range(len(names)), names, fontsize="small")
    axis.set_xlim(-0.5, len(names) - 0.5)


def _dots(axis: Any, trials: Sequence[Mapping[str, Any]], places: list[Any]) -> None:
    """Draws complete trials as filled dots, others as hollow ones."""
    for complete, face, label in (
        (True, "tab:blue", "complete"),
        (False, "none", "pruned or unfinished"),
    ):
        points = [
            (place, trial["score"])
            for place, trial in zip(places, trials, strict=True)
            if (trial["state"] == "complete") is complete
        ]
        if points:
            x, y = zip(*points, strict=True)
            axis.scatter(
                x, y, s=22, facecolors=face, edgecolors="tab:blue", label=label
            )
