"""Plots of the learning curve and result of a run."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaflax import _files
from metaflax.evaluation import Interval
from metaflax.reporting._figures import error_bar


def plot_run(
    path: Path,
    log: Path,
    metric: str,
    before: Interval,
    after: Interval,
    *,
    title: str,
) -> None:
    """Plots the learning curve and the result of a run.

    Args:
      path: the PNG file to write.
      log: the `log.jsonl` of the run.
      metric: name of the metric.
      before: metric on the test episodes before meta-training.
      after: metric on the same episodes after meta-training.
      title: title of the plot.

    Raises:
      ValueError: if matplotlib is not installed.
    """
    try:
        import matplotlib.figure as figure
    except ImportError as error:
        raise ValueError(
            "plots need the extra: pip install 'metaflax[plots]'."
        ) from error

    records = [json.loads(line) for line in log.read_text().splitlines()]
    losses, valid = _curve(records, "loss"), _curve(records, f"valid_{metric}")
    picture = figure.Figure(figsize=(9, 3.4), layout="constrained")
    left, right = picture.subplots(1, 2, width_ratios=[2, 1])
    picture.suptitle(title)

    left.plot(*zip(*losses, strict=True), color="0.75", lw=1)
    left.set(xlabel="outer step", ylabel="meta-training loss")
    beside = left.twinx()
    beside.plot(*zip(*valid, strict=True), "o-", color="tab:blue", ms=3)
    beside.set_ylabel(f"validation {metric}", color="tab:blue")

    names, bars = ("before", "after"), (before, after)
    widths = [error_bar(bar) for bar in bars]
    right.bar(
        names,
        [bar.mean for bar in bars],
        yerr=widths,
        color=["0.75", "tab:blue"],
        capsize=4,
    )
    for x, bar in enumerate(bars):
        right.annotate(f"{bar.mean:.3f}", (x, bar.mean / 2), ha="center")
    right.set_ylabel(f"test {metric}, 95 % interval")
    tops = [bar.mean + width for bar, width in zip(bars, widths, strict=True)]
    right.set_ylim(0, max(1.0, *tops))
    with _files.atomic_write(path, "wb") as file:
        picture.savefig(file, dpi=120, format="png")


def _curve(records: Iterable[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Returns steps and values of a record, with a gap where one is not finite."""
    return [
        (record["step"], math.nan if record[name] is None else record[name])
        for record in records
        if name in record
    ]
