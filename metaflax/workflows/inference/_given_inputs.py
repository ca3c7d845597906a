"""Conversion of plain texts, tuples and rows to inputs of a predictor."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from metaflax import tasks


def inputs_of(form: tasks.Form, values: Iterable[Any]) -> list[Any]:
    """Converts values to inputs of a form.

    Args:
      form: form of the task type's inputs.
      values: inputs of the form, rows by column, tuples or lists of the required
        columns in their order, or texts if a form requires nothing but a text.

    Raises:
      ValueError: for a value that is none of these, and for one input outside a list.

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


def predict_in_batches(
    predict: Callable[[list[Any]], list[dict[str, Any]]],
    form: tasks.Form,
    values: Iterable[Any],
    batch_size: int,
) -> list[dict[str, Any]]:
    """Predicts any number of values by a function of at most `batch_size` inputs.

    Args:
      predict: `records = predict(inputs)`, a record for each input.
      form: form of the inputs.
      values: values that `inputs_of` converts.
      batch_size: largest number of inputs in one call.

    Returns:
      A record for each value, in order.

    Raises:
      ValueError: as `inputs_of` does.
    """
    inputs = inputs_of(form, values)
    batches = (
        inputs[first : first + batch_size]
        for first in range(0, len(inputs), batch_size)
    )
    return [record for batch in batches for record in predict(batch)]


def _input(form: tasks.Form, value: Any, number: int) -> Any:
    if _is_input_of(form, value):
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


def _is_input_of(form: tasks.Form, value: Any) -> bool:
    """Returns whether the value is an input of the form."""
    if isinstance(value, Mapping):
        return False
    try:
        row = form.row(value)
    except (AttributeError, TypeError, ValueError):
        return False
    # A text in place of a list would be a list of letters.
    kinds = str if isinstance(value, str) else (str, list)
    return all(isinstance(column, kinds) for column in row.values())
