"""Figures for HTML pages, drawn as SVG with matplotlib."""

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metaflax.evaluation import Interval
from metaflax.evaluation._bootstrap import Estimate

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#666666")


def has_plots() -> bool:
    """Returns whether matplotlib, of the extra `plots`, is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def error_bar(interval: Interval) -> float:
    """Returns the half-width to draw; 0 if it is infinite, as for a single episode."""
    return interval.half_width if math.isfinite(interval.half_width) else 0.0


def methods_figure(intervals: Mapping[str, Interval], label: str) -> bytes:
    """Draws the mean and interval of each method, one per row.

    Args:
      intervals: intervals by method.
      label: name of the metric.

    Returns:
      SVG.
    """
    with _drawn(6.4, 0.9 + 0.34 * len(intervals)) as (axes, out):
        places = range(len(intervals), 0, -1)
        for place, interval, colour in zip(
            places, intervals.values(), _colours(len(intervals)), strict=True
        ):
            axes.errorbar(
                interval.mean,
                place,
                xerr=error_bar(interval),
                fmt="o",
                color=colour,
                capsize=4,
            )
        axes.set_yticks(list(places), labels=[_plain(name) for name in intervals])
        axes.set_ylim(0.4, len(intervals) + 0.6)
        axes.set_xlabel(f"{label}, 95 % interval")
        axes.grid(axis="x", color="0.9")
    return out.getvalue()


def curve_figure(points: Mapping[int, Interval], setting: str, label: str) -> bytes:
    """Draws a metric and its intervals against a setting.

    Args:
      points: intervals by value of the setting.
      setting: name of the setting.
      label: name of the metric.

    Returns:
      SVG.
    """
    with _drawn(6.4, 3.2) as (axes, out):
        values = sorted(points)
        axes.errorbar(
            values,
            [points[value].mean for value in values],
            yerr=[error_bar(points[value]) for value in values],
            fmt="o-",
            color=COLOURS[0],
            capsize=4,
        )
        axes.set_xticks(values)
        axes.set_xlabel(setting)
        axes.set_ylabel(f"{label}, 95 % interval")
        axes.grid(color="0.92")
    return out.getvalue()


def reliability_figure(
    curves: Mapping[str, Sequence[tuple[float, Estimate]]],
) -> bytes:
    """Draws a reliability diagram: accuracy against confidence.

    Args:
      curves: mean confidence and accuracy of each non-empty bin, by name.

    Returns:
      SVG.
    """
    with _drawn(5.2, 4.2) as (axes, out):
        axes.plot(
            [0, 1], [0, 1], color="0.6", lw=1, ls="--", label="perfectly calibrated"
        )
        colours = _colours(len(curves))
        for (name, points), colour in zip(curves.items(), colours, strict=True):
            # A bootstrap interval may exclude the value by a rounding error.
            below = [max(0.0, share.value - share.low) for _, share in points]
            above = [max(0.0, share.high - share.value) for _, share in points]
            axes.errorbar(
                [confidence for confidence, _ in points],
                [share.value for _, share in points],
                yerr=[below, above],
                fmt="o-",
                ms=4,
                color=colour,
                capsize=3,
                label=_plain(name),
            )
        axes.set(xlim=(0, 1.02), ylim=(0, 1.05))
        axes.set_xlabel("confidence, the largest probability")
        axes.set_ylabel("accuracy, 95 % interval")
        axes.grid(color="0.92")
        axes.legend(frameon=False, loc="lower right")
    return out.getvalue()


@contextlib.contextmanager
def _drawn(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yields axes to draw on, and the buffer that then holds the SVG."""
    import matplotlib
    import matplotlib.figure as figures

    out = io.BytesIO()
    # Reproducible element ids; text as paths, since fonts differ between machines.
    with matplotlib.rc_context({"svg.hashsalt": "metaflax", "font.size": 10}):
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, out
        figure.savefig(out, format="svg", metadata={"Date": None})


def _colours(number: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(number)]


def _plain(name: str) -> str:
    """Escapes dollar signs, which begin mathematics in matplotlib."""
    return name.replace("$", r"\$")
