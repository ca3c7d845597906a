"""Examples in memory, with the checks for examples of files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metaflax import data, tasks


def examples_of(
    rows: Iterable[Mapping[str, Any]], task: tasks.TaskType, name: str = "examples"
) -> data.Examples:
    """Makes examples of rows with the columns `text` and `label`.

    Args:
      rows: rows as in a JSONL file.
      task: task type, which reads inputs and targets of a row.
      name: name of the rows in messages, which count them from 0.

    Returns:
      The examples, in order.

    Raises:
      ValueError: if there is no row, or a row lacks a column or has an invalid value;
        the message names the row.

    Examples:
      >>> rows = [{"text": "it barks", "label": "dog"}]
      >>> examples_of(rows, tasks.classification()).labels
      (('dog',),)
    """
    texts, gold = [], []
    for number, row in enumerate(rows):
        fields = tasks.Fields(row, f"{name}[{number}]")
        texts.append(task.form.read(fields))
        gold.append(task.gold_label(fields))
    if not texts:
        raise ValueError(f"{name}: there is no example; give at least one.")
    targets = tuple(one.target for one in gold)
    return data.Examples(
        name=name,
        texts=tuple(texts),
        labels=tuple(one.labels for one in gold),
        targets=None if None in targets else targets,
    )


def texts_of(
    texts: Sequence[Any], task: tasks.TaskType, name: str = "texts"
) -> list[Any]:
    """Makes input texts of strings, or of rows with the columns of a form.

    Raises:
      ValueError: if a text is invalid; the message names it.

    Examples:
      >>> texts_of(["it barks", {"text": "it purrs"}], tasks.classification())
      ['it barks', 'it purrs']
    """
    return [
        task.form.read(tasks.Fields(_row(text), f"{name}[{number}]"))
        for number, text in enumerate(texts)
    ]


def _row(text: Any) -> Mapping[str, Any]:
    return text if isinstance(text, Mapping) else {"text": text}
