"""Counterfactual fairness: changes of predictions when names or genders are swapped."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import evaluation, target_kinds, tasks
from metaflax._files import json_text, write_text
from metaflax.data.raw_text._swaps import SWAPS, SwappedText, Swaps, swapped_texts
from metaflax.workflows.inference._predict import BatchPredictor, predict_all
from metaflax.workflows.runs._console import console_or_quiet


def fairness(
    predictor: BatchPredictor,
    texts: Sequence[str],
    swaps: Swaps = SWAPS,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures how predictions change when names, genders or companies are swapped.

    The change of one class is the total variation distance (half the sum of absolute
    changes of probabilities), of several labels the largest change of a probability,
    of a number the absolute change.

    Args:
      predictor: a model of classes, labels or numbers; or a function whose records have
        `probabilities` by label, or one number besides the text.
      texts: texts with words of the swaps in them, or templates with a placeholder for
        a word of a group, such as `{gender}`.
      swaps: pairs of words by group, such as `data.SWAPS`.
      seed: seed of the bootstrap over texts.

    Returns:
      For each group that occurs in any text: `texts` and `pairs`, their numbers;
      `mean_absolute_change` and `changed_labels`, the share of pairs with another
      predicted label (None for numbers), each with its `mean`, `low` and `high`, a 95 %
      bootstrap interval over texts; and `largest`, the pair with the largest change.

    Raises:
      ValueError: if no text has any of the words, or the model predicts something else.

    Examples:
      >>> from metaflax.workflows import fairness
      >>> class Biased:
      ...     batch_size = 8
      ...     def __call__(self, texts):
      ...         return [{"score": float("she" in text.split())} for text in texts]
      >>> results = fairness(Biased(), ["he is late", "she is here", "it rains"])
      >>> results["gender"]["mean_absolute_change"]
      {'mean': 1.0, 'low': 1.0, 'high': 1.0}

    References:
      Kiritchenko and Mohammad, `Examining Gender and Race Bias in Two Hundred Sentiment
      Analysis Systems <https://arxiv.org/abs/1805.04508>`_, 2018.
    """
    _check_kind(predictor)
    results = {}
    for group, pairs in swaps.items():
        swapped = swapped_texts(texts, group, pairs)
        if swapped:
            results[group] = _group(predictor, swapped, seed)
    if not results:
        raise ValueError(
            f"no text has a word of {', '.join(swaps)}; give texts that do,"
            f" or placeholders such as {{{next(iter(swaps), 'gender')}}}."
        )
    return results


def fairness_report(
    predictor: BatchPredictor,
    texts: Sequence[str],
    out: str | Path,
    console: Console | None = None,
    *,
    swaps: Swaps = SWAPS,
) -> dict[str, Any]:
    """Writes the results of `fairness` as JSON and prints them as a table.

    Args:
      predictor: a model of classes, labels or numbers.
      texts: texts or templates, as for `fairness`.
      out: the file to write.
      console: where the table goes; None for nowhere.
      swaps: pairs of words by group.

    Returns:
      The results of `fairness`.

    Raises:
      ValueError: as `fairness` does.
    """
    console = console_or_quiet(console)
    results = fairness(predictor, texts, swaps)
    write_text(Path(out), json_text(results, indent=2, ensure_ascii=False) + "\n")
    table = Table(title="predictions with swapped words, 95 % intervals over texts")
    for column in ("", "texts", "pairs", "mean change", "largest", "changed labels"):
        table.add_column(column, justify="right" if column else "left")
    for group, row in results.items():
        table.add_row(
            group,
            str(row["texts"]),
            str(row["pairs"]),
            _interval_text(row["mean_absolute_change"]),
            f"{row['largest']['change']:.4f}",
            _interval_text(row["changed_labels"]),
        )
    console.print(table)
    return results


@runtime_checkable
class _TaskPredictor(BatchPredictor, Protocol):
    """Predictor of a task type, as `metaflax.load` returns it."""

    task: tasks.TaskType


def _check_kind(predictor: BatchPredictor) -> None:
    """Raises ValueError for a task type without classes, labels or numbers."""
    if not isinstance(predictor, _TaskPredictor):
        return
    kind = target_kinds.of(predictor.task)
    if kind.probabilities is None:
        raise ValueError(_other_predictions(kind.noun))


def _other_predictions(nouns: str) -> str:
    return (
        "fairness is measured for models that predict classes, labels or a number, and"
        f" this one predicts {nouns}; name another model."
    )


def _group(
    predictor: BatchPredictor, swapped: Sequence[SwappedText], seed: int
) -> dict[str, Any]:
    before = predict_all(predictor, [pair.before for pair in swapped])
    after = predict_all(predictor, [pair.after for pair in swapped])
    both = list(zip(before, after, strict=True))
    changes = np.array([_change(*predictions) for predictions in both])
    largest = int(np.argmax(changes))
    numbers = [pair.number for pair in swapped]
    labels = [(_labels(one), _labels(other)) for one, other in both]
    has_labels = labels[0][0] is not None
    changed = np.array([one != other for one, other in labels], np.float64)
    return {
        "texts": len(set(numbers)),
        "pairs": len(swapped),
        "mean_absolute_change": _interval(numbers, changes, seed),
        "changed_labels": _interval(numbers, changed, seed) if has_labels else None,
        "largest": {
            "change": float(changes[largest]),
            "before": swapped[largest].before,
            "after": swapped[largest].after,
        },
    }


def _change(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Computes the distance of two predictions."""
    if "probabilities" not in one:
        return abs(_number(one) - _number(other))
    changes = [
        abs(p - other["probabilities"][name])
        for name, p in one["probabilities"].items()
    ]
    return max(changes) if "labels" in one else sum(changes) / 2


def _labels(prediction: Mapping[str, Any]) -> Any:
    """Returns the predicted label or labels; None for a number."""
    return prediction.get("labels", prediction.get("label"))


def _number(prediction: Mapping[str, Any]) -> float:
    fields = {
        name: value
        for name, value in prediction.items()
        if name != "text" and value is not None
    }
    number, *others = fields.values() or [None]
    if others or not isinstance(number, float):
        raise ValueError(_other_predictions(", ".join(fields)))
    return number


def _interval(
    numbers: Sequence[int], values: np.ndarray, seed: int
) -> dict[str, float]:
    """Computes the mean over pairs, with a bootstrap interval over whole texts."""
    by_text: dict[int, list[float]] = collections.defaultdict(list)
    for number, value in zip(numbers, values.tolist(), strict=True):
        by_text[number].append(value)
    sums = np.array([(sum(x), len(x)) for x in by_text.values()])  # [texts, 2]
    interval = evaluation.bootstrap_interval(
        sums, lambda means: means[:, 0] / means[:, 1], seed=seed
    )
    return {"mean": interval.value, "low": interval.low, "high": interval.high}


def _interval_text(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['mean']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"
