"""Inputs of a predictor as a caller has them: plain texts, tuples, rows of a file."""

from collections.abc import Iterable, Mapping
from typing import Any

from metaflax import tasks


def inputs_of(form: tasks.Form, values: Iterable[Any]) -> list[Any]:
    """Reads what is not of the form's own type yet.

    Args:
      form: of the task type.
      values: of the form's own type, rows by column, tuples or lists of the required
        columns in their order, or texts where a text is all that is required.

    Raises:
      ValueError: naming the value that is none of these; for one input that is no list.

    Examples:
      >>> form = tasks.pair_classification().form
      >>> inputs_of(form, [("it rains", "it is wet"), {"text": "a", "text_pair": "b"}])
      [Pair(first='it rains', second='it is wet'), Pair(first='a', second='b')]
      >>> inputs_of(form, ["it rains"])
      Traceback (most recent call last):
        ...
      ValueError: texts[0] is 'it rains', and an input has text and text_pair; give ...
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"{values!r:.60} is no list of inputs; put each in a list.")
    return [_input(form, value, number) for number, value in enumerate(values)]


def _input(form: tasks.Form, value: Any, number: int) -> Any:
    if _is_value_of(form, value):
        return value
    columns = form.required
    if isinstance(value, str) and len(columns) == 1:
        value = {columns[0]: value}
    if type(value) in (tuple, list) and len(value) == len(columns):
        value = dict(zip(columns, value, strict=True))
    if isinstance(value, Mapping):
        return form.read(tasks.Fields(value, f"texts[{number}]"))
    raise ValueError(
        f"texts[{number}] is {value!r:.60}, and an input has {' and '.join(columns)};"
        " give a dictionary of these columns, as a row of a file has them."
    )


def _is_value_of(form: tasks.Form, value: Any) -> bool:
    """Whether the form can write the value as a row."""
    if isinstance(value, Mapping):
        return False
    try:
        row = form.row(value)
    except (AttributeError, TypeError, ValueError):
        return False
    return all(isinstance(column, (str, list)) for column in row.values())
