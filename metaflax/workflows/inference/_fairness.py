"""How far answers move when words are swapped that should not matter."""

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import data, evaluation
from metaflax.files import write_text
from metaflax.workflows.inference._predict import Answering


def fairness(
    predictor: Answering,
    texts: Sequence[str],
    swaps: data.Swaps = data.SWAPS,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Swaps names, genders, companies in texts, and sees how far answers move.

    How far is the share of probability that moves to other classes (half the sum of
    absolute changes; of two classes the change of either), of several labels the
    largest change of a probability, of numbers the absolute change.

    Args:
      predictor: of a task of classes, labels or numbers.
      texts: which have words of the swaps in them; or templates, with `{gender}` for
        instance where a word of that group belongs.
      swaps: pairs of words by group, such as `data.SWAPS`.
      seed: draws texts for the intervals.

    Returns:
      For each group that any text has words of: `texts` and `pairs`, how many;
      `mean_absolute_change` and `changed_labels`, the share of pairs whose answer is
      another one (None of numbers), each with its `mean`, `low` and `high`, a 95 %
      bootstrap interval over texts; and `largest`, the pair of texts that moves most.

    Raises:
      ValueError: if no text has any of the words.

    Examples:
      >>> class Biased:
      ...     batch_size = 8
      ...     def __call__(self, texts):
      ...         return [{"score": float("she" in text.split())} for text in texts]
      >>> found = fairness(Biased(), ["he is late", "she is here", "it rains"])
      >>> found["gender"]["mean_absolute_change"]
      {'mean': 1.0, 'low': 1.0, 'high': 1.0}

    References:
      Kiritchenko and Mohammad, `Examining Gender and Race Bias in Two Hundred Sentiment
      Analysis Systems <https://arxiv.org/abs/1805.04508>`_, 2018.
    """
    found = {}
    for group, pairs in swaps.items():
        swapped = data.swapped_texts(texts, group, pairs)
        if swapped:
            found[group] = _group(predictor, swapped, seed)
    if not found:
        raise ValueError(
            f"no text has a word of {', '.join(swaps)}, nor a place for one, such as"
            f" {{{next(iter(swaps), 'gender')}}}."
        )
    return found


def fairness_report(
    predictor: Answering,
    texts: Sequence[str],
    out: str | Path,
    console: Console,
    *,
    swaps: data.Swaps = data.SWAPS,
) -> dict[str, Any]:
    """Writes what `fairness` finds as JSON, and shows it as a table.

    Args:
      predictor: as for `fairness`.
      texts: likewise.
      out: the file to write.
      console: where the table goes.
      swaps: as for `fairness`.

    Returns:
      What it finds.

    Raises:
      ValueError: as `fairness` does.
    """
    found = fairness(predictor, texts, swaps)
    write_text(Path(out), json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    table = Table(title="answers when words are swapped, 95 % intervals over texts")
    for column in ("", "texts", "pairs", "moved by", "at most", "other answer"):
        table.add_column(column, justify="right" if column else "left")
    for group, row in found.items():
        table.add_row(
            group,
            str(row["texts"]),
            str(row["pairs"]),
            _said(row["mean_absolute_change"]),
            f"{row['largest']['change']:.4f}",
            _said(row["changed_labels"]),
        )
    console.print(table)
    return found


def _group(
    predictor: Answering, swapped: Sequence[data.SwappedText], seed: int
) -> dict[str, Any]:
    before = _answers(predictor, [pair.before for pair in swapped])
    after = _answers(predictor, [pair.after for pair in swapped])
    both = list(zip(before, after, strict=True))
    changes = np.array([_change(*answers) for answers in both])
    largest = int(np.argmax(changes))
    numbers = [pair.number for pair in swapped]
    said = [(_said_by(one), _said_by(other)) for one, other in both]
    labelled = said[0][0] is not None
    changed = np.array([one != other for one, other in said], np.float64)
    return {
        "texts": len(set(numbers)),
        "pairs": len(swapped),
        "mean_absolute_change": _interval(numbers, changes, seed),
        "changed_labels": _interval(numbers, changed, seed) if labelled else None,
        "largest": {
            "change": float(changes[largest]),
            "before": swapped[largest].before,
            "after": swapped[largest].after,
        },
    }


def _answers(predictor: Answering, texts: list[str]) -> list[dict[str, Any]]:
    size = predictor.batch_size
    return [
        answer
        for first in range(0, len(texts), size)
        for answer in predictor(texts[first : first + size])
    ]


def _change(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How far an answer is from another."""
    if "probabilities" not in one:
        return abs(_number(one) - _number(other))
    moved = [
        abs(p - other["probabilities"][name])
        for name, p in one["probabilities"].items()
    ]
    return max(moved) if "labels" in one else sum(moved) / 2


def _said_by(answer: Mapping[str, Any]) -> Any:
    """The label or labels; None of a number."""
    return answer.get("labels", answer.get("label"))


def _number(answer: Mapping[str, Any]) -> float:
    numbers = [value for value in answer.values() if isinstance(value, float)]
    if len(numbers) != 1:
        raise ValueError(
            "fairness is of models that answer with a class, labels or a number; this"
            f" one says {', '.join(answer)}."
        )
    return numbers[0]


def _interval(
    numbers: Sequence[int], values: np.ndarray, seed: int
) -> dict[str, float]:
    """The mean over pairs, and its interval, for which whole texts are drawn."""
    by_text: dict[int, list[float]] = collections.defaultdict(list)
    for number, value in zip(numbers, values.tolist(), strict=True):
        by_text[number].append(value)
    sums = np.array([(sum(own), len(own)) for own in by_text.values()])  # [texts, 2]
    found = evaluation.bootstrap_interval(
        sums, lambda means: means[:, 0] / means[:, 1], seed=seed
    )
    return {"mean": found.value, "low": found.low, "high": found.high}


def _said(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['mean']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"
