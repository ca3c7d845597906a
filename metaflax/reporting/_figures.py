"""Drawings for pages, as SVG; none without matplotlib."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metaflax.evaluation import Estimate, Interval

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#666666")


def has_plots() -> bool:
    """Whether matplotlib is installed, from the extra `plots`."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def methods_figure(intervals: Mapping[str, Interval], label: str) -> bytes:
    """Means of methods below one another, with their intervals.

    Args:
      intervals: by method.
      label: what is measured.

    Returns:
      SVG.
    """
    with _drawn(6.4, 0.9 + 0.34 * len(intervals)) as (axes, out):
        places = range(len(intervals), 0, -1)
        for place, own, colour in zip(
            places, intervals.values(), _colours(len(intervals)), strict=True
        ):
            axes.errorbar(
                own.mean, place, xerr=own.half_width, fmt="o", color=colour, capsize=4
            )
        axes.set_yticks(list(places), labels=[_plain(name) for name in intervals])
        axes.set_ylim(0.4, len(intervals) + 0.6)
        axes.set_xlabel(f"{label}, 95 % interval")
        axes.grid(axis="x", color="0.9")
    return out.getvalue()


def curve_figure(points: Mapping[int, Interval], setting: str, label: str) -> bytes:
    """A score along a setting, with its intervals.

    Args:
      points: by the value of the setting.
      setting: its name.
      label: what is measured.

    Returns:
      SVG.
    """
    with _drawn(6.4, 3.2) as (axes, out):
        values = sorted(points)
        axes.errorbar(
            values,
            [points[value].mean for value in values],
            yerr=[points[value].half_width for value in values],
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
    """Accuracy by confidence, beside the line on which they are equal.

    Args:
      curves: by name, of each bin that is not empty its mean confidence and accuracy.

    Returns:
      SVG.
    """
    with _drawn(5.2, 4.2) as (axes, out):
        axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="as sure as right")
        colours = _colours(len(curves))
        for (name, points), colour in zip(curves.items(), colours, strict=True):
            # A resampled interval may lie beside the value by a rounding error.
            below = [max(0.0, own.value - own.low) for _, own in points]
            above = [max(0.0, own.high - own.value) for _, own in points]
            axes.errorbar(
                [confidence for confidence, _ in points],
                [own.value for _, own in points],
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
    """Axes to draw on, and where the drawing is afterwards."""
    import matplotlib
    import matplotlib.figure as figures

    out = io.BytesIO()
    # Names of parts that do not change from run to run; letters as shapes, since fonts
    # differ from reader to reader.
    with matplotlib.rc_context({"svg.hashsalt": "metaflax", "font.size": 10}):
        made = figures.Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, out
        made.savefig(out, format="svg", metadata={"Date": None})


def _colours(number: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(number)]


def _plain(name: str) -> str:
    """A name as it is, where a dollar sign would begin mathematics."""
    return name.replace("$", r"\$")
