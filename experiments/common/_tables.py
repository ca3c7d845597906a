"""Results as Markdown."""

from collections.abc import Iterable, Sequence

from metaflax import evaluation


def percent(interval: evaluation.Interval, sign: str = "", digits: int = 2) -> str:
    """Formats a mean and its interval in percent.

    Examples:
      >>> percent(evaluation.Interval(0.5, 0.0123), "+")
      '+50.00 ± 1.23'
    """
    mean, half_width = 100 * interval.mean, 100 * interval.half_width
    return f"{mean:{sign}.{digits}f} ± {half_width:.{digits}f}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats rows below a header as a Markdown table.

    Examples:
      >>> print(markdown_table(["a", "b"], [[1, "x"]]))
      | a | b |
      | --- | --- |
      | 1 | x |
    """
    lines = ["| " + " | ".join(map(str, header)) + " |", "| --- " * len(header) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
