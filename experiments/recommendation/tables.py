"""Tables, an example and a plot of the scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from methods import Method
from scores import (
    BOTH,
    FROZEN,
    NEIGHBOURS,
    PAIRS,
    POPULAR,
    POPULAR_HEAD,
    SCORES,
    SIMILAR,
    TEXT,
)
from users import User, split


def tables(results: Mapping[str, Any]) -> str:
    """Formats scores and differences by part and number of ratings as Markdown."""
    lines = []
    for part, sizes in results.items():
        for size, content in sizes.items():
            lines += ["", f"{part}, {size} ratings, {content['users']} users", ""]
            lines += [f"| | {' | '.join(SCORES)} |", "| --- " * 5 + "|"]
            for name, cells in content["scores"].items():
                lines.append(row(name, cells, ""))
            for name, cells in content["differences"].items():
                lines.append(row(name, cells, "+"))
    return "\n".join(lines)


def row(name: str, cells: Mapping[str, Sequence[float]], sign: str) -> str:
    outputs = (
        f"{cells[s][0]:{sign}.3f} ± {cells[s][1]:.3f}" if s in cells else ""
        for s in SCORES
    )
    return f"| {name} | {' | '.join(outputs)} |"


def explained(method: Method, user: User, texts: Sequence[str], num: int = 5) -> str:
    """Formats a user's first ratings, and recommendations among the later films."""
    known, later = split(user, 10)
    scores = method(known)[later.films]
    lines = [f"user {user.name} rated first:"]
    order = np.argsort(-known.ratings, kind="stable")
    lines += [f"  {known.ratings[n]:.1f}  {texts[known.films[n]]}" for n in order]
    lines.append(f"of {len(later.films)} later films, predicted and given:")
    order = np.argsort(-scores, kind="stable")
    for n in (*order[:num], *order[-2:]):
        outputs = f"{scores[n]:.1f}  {later.ratings[n]:.1f}"
        lines.append(f"  {outputs}  {texts[later.films[n]]}")
    return "\n".join(lines)


def plot(path: Path, results: Mapping[str, Any]) -> None:
    """Plots NDCG@10 against the number of ratings, and differences of methods."""
    from matplotlib import figure

    sizes = results["all later films"]
    picture = figure.Figure(figsize=(10, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    shown = (BOTH, POPULAR, NEIGHBOURS, TEXT, FROZEN, SIMILAR)
    parts = (
        (left, "scores", {name: name for name in shown}, 0.25),
        (
            right,
            "differences",
            {
                f"{one} less {other}": f"{one.split(',')[0]} less {other}"
                for one, other in PAIRS
                if (one, other) not in ((BOTH, POPULAR_HEAD), (TEXT, POPULAR))
            },
            0.15,
        ),
    )
    for axes, part, names, apart in parts:
        for place, (name, label) in enumerate(names.items()):
            cells = [content[part][name]["NDCG@10"] for content in sizes.values()]
            shift = apart * (place - len(names) / 2)
            axes.errorbar(
                [int(size) + shift for size in sizes],
                [mean for mean, _ in cells],
                yerr=[width for _, width in cells],
                fmt="o-",
                ms=4,
                lw=1,
                capsize=3,
                label=label,
            )
        axes.set(xlabel="ratings known of a user", xticks=[int(s) for s in sizes])
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    left.set_ylabel("NDCG@10, 95 % interval")
    right.set_ylabel("paired difference of NDCG@10")
    right.axhline(0, color="0.6", lw=1)
    picture.savefig(path, dpi=120)
