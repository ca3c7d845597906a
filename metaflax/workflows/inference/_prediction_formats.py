"""Formats of written predictions: JSON lines and CSV."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any


def writer(format: str) -> Callable[[dict[str, Any]], str]:
    """Returns a function that formats a prediction as `jsonl` or `csv`.

    The first text of a CSV file has the header, with the columns of its prediction.
    """
    return {"jsonl": _write_jsonl, "csv": _write_csv()}[format]


def _write_jsonl(prediction: dict[str, Any]) -> str:
    # Columns of Parquet files may hold dates, for which JSON has no type.
    return json.dumps(prediction, ensure_ascii=False, default=str) + "\n"


def _write_csv() -> Callable[[dict[str, Any]], str]:
    header: list[str] = []

    def write(prediction: dict[str, Any]) -> str:
        row = _flat(prediction)
        text = io.StringIO()
        if not header:
            header.extend(row)
            csv.writer(text, lineterminator="\n").writerow(header)
        if missing := [name for name in row if name not in header]:
            raise ValueError(
                f"a row has the column {missing[0]!r}, which the first row lacks, and"
                " the header of a CSV file is that of its first row; take --format"
                " jsonl."
            )
        csv.DictWriter(text, header, lineterminator="\n").writerow(row)
        return text.getvalue()

    return write


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """Flattens a prediction into columns: one per probability, lists as JSON."""
    row: dict[str, Any] = {}
    for name, value in prediction.items():
        if name == "truncated":
            row |= _truncation_columns(value)
        elif isinstance(value, dict):
            row |= {f"p({key})": item for key, item in value.items()}
        elif isinstance(value, (list, tuple)):
            row[name] = json.dumps(value, ensure_ascii=False)
        else:
            row[name] = value
    return row


def _truncation_columns(truncated: dict[str, int] | None) -> dict[str, int | None]:
    """Makes the columns of `truncated`, empty for a text that was not truncated."""
    truncated = truncated or {}
    names = ("tokens_read", "tokens_total")
    return {f"truncated_{name}": truncated.get(name) for name in names}
