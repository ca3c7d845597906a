"""Tables of the results, and the recommendation that follows from them."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.common import markdown_table, percent, takes_unlabelled
from experiments.heads.draws import AS_FREQUENT, UNEQUAL
from metaflax import evaluation

Results = dict[str, dict[str, dict[str, dict[str, list[float]]]]]

MEANS = "prototypes"
BALANCED = ("ridge", "logistic_regression")
PEER = "scikit-learn"
AUTO = "auto"
_NOT_RECOMMENDED = (AUTO, "unbalanced_logistic_regression", "unbalanced_ridge")


def tables(results: Results) -> dict[str, str]:
    """Returns the tables of the README, by name, whose methods were measured."""
    every = {
        "accuracy": accuracy_table(results),
        "balance": balance_table(results),
        "transductive": difference_table(
            results, MEANS, _transductive(_first(results))
        ),
        "peer": difference_table(results, PEER, (AUTO, "logistic_regression")),
    }
    return {name: table for name, table in every.items() if table is not None}


def accuracy_table(results: Results) -> str:
    """Formats mean accuracy (%) of each head; mean recall for unequal classes."""
    rows, names = [], list(_first(results))
    for data, shot, scores in _rows(results):
        means = [f"{100 * np.mean(scores[name][_metric(shot)]):.1f}" for name in names]
        rows.append([data, shot, *means])
    return markdown_table(["data", "texts a class", *names], rows)


def balance_table(results: Results) -> str | None:
    """Formats the gain of balanced class weights, in accuracy and in mean recall."""
    known, rows = _first(results), []
    heads = [head for head in BALANCED if {head, f"unbalanced_{head}"} <= {*known}]
    for (data, shot, scores), head in itertools.product(_rows(results), heads):
        if shot not in (UNEQUAL, AS_FREQUENT):
            continue  # Balanced weights change nothing here.
        plain, other = scores[f"unbalanced_{head}"], scores[head]
        gains = [
            percent(evaluation.paired_interval(plain[m], other[m]), "+", 1)
            for m in ("recall", "accuracy")
        ]
        recalls = [f"{100 * np.mean(s['recall']):.1f}" for s in (plain, other)]
        rows.append([data, shot, f"`{head}`", *recalls, *gains])
    if not rows:
        return None
    header = ["unbalanced", "balanced", "gain in mean recall", "gain in accuracy"]
    return markdown_table(["data", "texts a class", "head", *header], rows)


def difference_table(
    results: Results, base: str, others: tuple[str, ...]
) -> str | None:
    """Formats paired differences in accuracy between some heads and another."""
    known, rows = _first(results), []
    others = tuple(name for name in others if name in known)
    if base not in known or not others:
        return None
    for data, shot, scores in _rows(results):
        start = scores[base]["accuracy"]
        gains = [
            percent(evaluation.paired_interval(start, scores[o]["accuracy"]), "+", 1)
            for o in others
        ]
        rows.append([data, shot, f"{100 * np.mean(start):.1f}", *gains])
    header = ["data", "texts a class", base, *(f"{o} less {base}" for o in others)]
    return markdown_table(header, rows)


def recommendation(results: Results) -> str:
    """Recommends heads by number of texts per class and kind of task, with their cost.

    The most accurate head comes first, then all that are not resolvably worse; for
    unequal classes mean recall decides.
    """
    rows = []
    for data, shot, scores in _rows(results):
        metric = _metric(shot)
        transductive = _transductive(scores)
        others = (*transductive, *_NOT_RECOMMENDED)
        heads = [n for n in scores if n not in others and PEER not in n]
        best = max(heads, key=lambda n: float(np.mean(scores[n][metric])))
        alike = [n for n in heads if n != best and _is_alike(scores, best, n, metric)]
        free = max(transductive, key=lambda n: float(np.mean(scores[n][metric])))
        gain = evaluation.paired_interval(scores[best][metric], scores[free][metric])
        rows.append(
            [
                data,
                shot,
                f"`{best}` {100 * np.mean(scores[best][metric]):.1f}",
                ", ".join(f"`{n}`" for n in alike) or "none",
                f"{100 * np.mean(scores[AUTO][metric]):.1f}",
                f"`{free}` {percent(gain, '+', 1)}",
            ]
        )
    header = ["task", "texts a class", "best head (%)", "not resolvably worse"]
    header += ["`auto`", "with texts without labels, less best"]
    return f"{markdown_table(header, rows)}\n\n{cost_table(results)}\n"


def cost_table(results: Results) -> str:
    """Formats median milliseconds to fit a head to features, at 8 texts per class."""
    rows = []
    for name in _first(results):
        times = [
            f"{1000 * np.median(of_data['8'][name]['seconds']):.0f}"
            for of_data in results.values()
            if "8" in of_data
        ]
        rows.append([f"`{name}`", *times])
    names = [data for data in results if "8" in results[data]]
    return markdown_table(["ms to fit, 8 texts a class", *names], rows)


def _rows(results: Results):
    for data, by_shot in results.items():
        for shot, scores in by_shot.items():
            yield data, shot, scores


def _first(results: Results) -> dict[str, Any]:
    return next(iter(next(iter(results.values())).values()))


def _transductive(names: Iterable[str]) -> tuple[str, ...]:
    """Selects heads that also learn from the queries without their labels."""
    return tuple(n for n in names if PEER not in n and takes_unlabelled(n))


def _metric(shot: str) -> str:
    return "recall" if shot in (UNEQUAL, AS_FREQUENT) else "accuracy"


def _is_alike(scores, best: str, name: str, metric: str) -> bool:
    loss = evaluation.paired_interval(scores[name][metric], scores[best][metric])
    return loss.mean <= loss.half_width
