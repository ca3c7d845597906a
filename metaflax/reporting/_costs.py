"""Cost and profile of a step as text and tables."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from metaflax.profiling._cost import Cost
from metaflax.profiling._profile import Profile, Row

_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_FLOPS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))


def cost_line(cost: Cost, available: int | None = None) -> str:
    """Formats the cost of one step on one line.

    Args:
      cost: cost of the step.
      available: free memory of the device in bytes.

    Examples:
      >>> cost = Cost(4.123e11, 0, 400 * 2**20, 400 * 2**20, 400 * 2**20, 800 * 2**20)
      >>> cost_line(cost)
      '412.3 GFLOP, 1.2 GiB of memory (0.4 state, 0.8 temporaries)'
      >>> cost_line(cost, 24 * 2**30).rpartition("; ")[2]
      'the device has 24.0 GiB'
    """
    factor, unit = _unit(cost.peak, _BYTES)
    held, new = (f"{size / factor:.1f}" for size in (cost.arguments, cost.new))
    flops = "FLOP unknown" if cost.flops is None else _amount(cost.flops, _FLOPS)
    line = (
        f"{flops}, {cost.peak / factor:.1f} {unit} of memory"
        f" ({held} state, {new} temporaries)"
    )
    if available is None:
        return line
    return f"{line}; the device has {memory(available)}"


def memory(size: float) -> str:
    """Formats a number of bytes: `1.2 GiB`."""
    return _amount(size, _BYTES)


def profile_tables(profile: Profile) -> list[Table]:
    """Makes tables of the time of one step, by part of the step and by kind.

    Times are wall-clock milliseconds under the profiler. Both tables add up to one
    step, idle time included.
    """
    return [
        _table(
            profile,
            "one training step, by part of the work",
            lambda row: row.part,
            {"forward": lambda r: not r.backward, "backward": lambda r: r.backward},
        ),
        _table(profile, "one training step, by kind of work", lambda row: row.kind, {}),
    ]


def host_line(profile: Profile) -> str:
    """Formats the host's time for a step, and the time of one without the profiler."""
    host, step = profile.host, profile.step_ms
    waiting = host.waiting_ms(step)
    hidden = (
        f"each step waits {waiting:.1f} ms for it" if waiting else "hidden by the step"
    )
    return (
        f"one step takes {step:.1f} ms, {profile.profiled_ms:.1f} while it is profiled;"
        f" its batch takes {host.making_ms:.1f} ms to make and"
        f" {host.transfer_ms:.1f} to transfer, {hidden}"
    )


def _table(
    profile: Profile,
    title: str,
    name_of: Callable[[Row], str],
    columns: dict[str, Callable[[Row], bool]],
) -> Table:
    table = Table(title=title)
    table.add_column("")
    for name in (*columns, "ms", "share", "GFLOP/s of products"):
        table.add_column(name, justify="right")
    groups: dict[str, list[Row]] = {}
    for row in profile.rows:
        groups.setdefault(name_of(row), []).append(row)
    for name in sorted(groups, key=lambda name: -_ms(groups[name])):
        rows = groups[name]
        directions = [_ms(filter(test, rows)) for test in columns.values()]
        table.add_row(name, *_cells(profile, directions, _ms(rows), _rate(rows)))
    blank = [0.0] * len(columns)
    table.add_row(
        "nothing ran", *_cells(profile, blank, profile.idle_ms), end_section=True
    )
    directions = [_ms(filter(test, profile.rows)) for test in columns.values()]
    rate = _rate(profile.rows)
    table.add_row("in all", *_cells(profile, directions, profile.profiled_ms, rate))
    return table


def _cells(
    profile: Profile, directions: list[float], ms: float, rate: str = ""
) -> list[str]:
    share = f"{100 * ms / profile.profiled_ms:.1f} %"
    return [*(f"{x:.2f}" if x else "" for x in directions), f"{ms:.2f}", share, rate]


def _ms(rows: Iterable[Row]) -> float:
    return sum(row.ms for row in rows)


def _rate(rows: Iterable[Row]) -> str:
    """Formats the rate in GFLOP/s of the matrix products among the rows."""
    products = [row for row in rows if row.flops]
    ms = _ms(products)
    return f"{sum(row.flops for row in products) / ms / 1e6:.1f}" if ms else ""


def _amount(value: float, units: Any) -> str:
    factor, unit = _unit(value, units)
    return f"{value / factor:.1f} {unit}"


def _unit(value: float, units: Any) -> tuple[float, str]:
    """Returns the largest unit not above `value`, else the smallest."""
    return next((u for u in units if value >= u[0]), units[-1])
