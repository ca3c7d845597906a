"""File of the support set in an adapted directory."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from metaflax import data, tasks

SUPPORT = "support.jsonl"


class SupportRow(NamedTuple):
    """A support example of an adapted directory.

    Attributes:
      text: the input, in the form of the task type.
      columns: input and target by role.
    """

    text: Any
    columns: dict[str, Any]


def support_lines(examples: data.Examples, task: tasks.TaskType) -> str:
    """Formats a support set as JSONL, by the roles of its columns."""
    records = [
        {**task.form.row(text), **_gold_columns(examples, number, task)}
        for number, text in enumerate(examples.texts)
    ]
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)


def support_file(examples: data.Examples, task: tasks.TaskType) -> dict[str, str]:
    """Makes the file of the support set, by name; none for targets of tokens."""
    if task.tokens is not None:
        return {}  # Nothing reads it.
    return {SUPPORT: support_lines(examples, task)}


def read_support(directory: Path, form: tasks.Form) -> list[SupportRow]:
    """Reads the support set of an adapted directory; empty if it has no such file.

    Raises:
      ValueError: if the file is damaged.
    """
    path = directory / SUPPORT
    if not path.is_file():
        return []
    rows = []
    for place, row in data.read_rows(path):
        match row["label"]:
            case [label]:  # Earlier versions wrote a list.
                row["label"] = label
        rows.append(SupportRow(form.read(tasks.Fields(row, place)), row))
    return rows


def missing_support_note(directory: Path, consequence: str) -> str:
    """Returns a sentence about a directory without a support set."""
    return (
        f"{directory} has no {SUPPORT}, so that {consequence}; adapt again to have it."
    )


def _gold_columns(
    examples: data.Examples, number: int, task: tasks.TaskType
) -> dict[str, Any]:
    """Returns the target of an example by role."""
    if examples.targets is None:
        labels = examples.labels[number]
        return {"label": labels[0] if len(labels) == 1 else list(labels)}
    target = examples.targets[number]
    return {"label": target} if task.texts is None else task.texts.rows(target)
