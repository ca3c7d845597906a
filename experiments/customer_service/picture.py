"""Plots of the results."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import questions
import ranking
from methods import OURS

from metaflax import evaluation

COLOURS = {
    "TF-IDF": "lightgrey",
    "BM25": "darkgrey",
    "frozen": "tab:blue",
    "class means": "tab:blue",
    "logistic regression": "tab:cyan",
    OURS: "tab:orange",
}


def plot(runs: Path) -> Path:
    """Plots the results of `intents`, `replies` and `questions`; returns the file."""
    from matplotlib import figure

    picture = figure.Figure(figsize=(10, 6.5), layout="constrained")
    above, below = picture.subfigures(2, 1)
    intents = json.loads((runs / "intents.json").read_text("utf-8"))
    names = ("accuracy in scope", "FPR at 95 % recall")
    for axis, metric in zip(above.subplots(1, 2), names, strict=True):
        of_intents(
            axis,
            metric,
            {name: by_metric[metric] for name, by_metric in intents.items()},
        )
    dialogues = ranking.Ranked.read(runs / "replies1.json")
    topics = ranking.Ranked.read(runs / "questions.json")
    groups = {
        **{d: dialogues.of(d) for d in sorted(set(dialogues.domains))},
        **{d: topics.of(d) for d in sorted(set(topics.domains))},
        f"{questions.ALL} topics": topics,
    }
    by_domain(below.subplots(), groups)
    path = runs / "result.png"
    picture.savefig(path, dpi=110)
    return path


def of_intents(axis, metric: str, collected: Mapping[str, Mapping[str, float]]) -> None:
    """Plots one metric of every method, in percent."""
    for place, (name, interval) in enumerate(collected.items()):
        axis.errorbar(
            place,
            100 * interval["mean"],
            100 * interval["half_width"],
            fmt="o",
            color=COLOURS[name],
            capsize=4,
        )
    axis.set_xticks(range(len(collected)), list(collected))
    axis.set_xlim(-0.5, len(collected) - 0.5)
    axis.set_title(f"{metric}, %")


def by_domain(axis, groups: Mapping[str, ranking.Ranked]) -> None:
    """Plots the mean reciprocal rank of every method by domain."""
    scores = {domain: ranked.scores() for domain, ranked in groups.items()}
    methods = list(next(iter(scores.values())))
    width = 0.8 / len(methods)
    for number, name in enumerate(methods):
        collected = [evaluation.mean_interval(s[name]["MRR"]) for s in scores.values()]
        axis.bar(
            np.arange(len(scores)) + (number - (len(methods) - 1) / 2) * width,
            [100 * interval.mean for interval in collected],
            width,
            yerr=[100 * interval.half_width for interval in collected],
            color=COLOURS[name],
            label=name,
            capsize=2,
        )
    sizes = [len(next(iter(ranked.ranks.values()))) for ranked in groups.values()]
    named = [f"{d}\n({n})" for d, n in zip(scores, sizes, strict=True)]
    axis.set_xticks(range(len(scores)), named)
    axis.set_title("mean reciprocal rank of the right reply, % (number of replies)")
    axis.legend(loc="upper left", ncols=len(methods), fontsize=8)
