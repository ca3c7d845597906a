"""Sentiment of news from a few sentences a class."""

from pathlib import Path

import methods
from rich.console import Console

from metaflax import config as config_lib
from metaflax.workflows import Setting


def sentiment(
    config: config_lib.Config,
    runs: Path,
    news: methods.News,
    console: Console,
    sizes: methods.Sizes,
) -> Setting:
    """Compares methods at each shot; returns the best frozen setting of the last."""
    kept = runs / "scores" / "sentiment"
    best, results = methods.frozen(config, "prototypes")[0], {}
    for shot in sizes.shots:
        choices = {
            "class means": methods.frozen(config, "prototypes"),
            "logistic regression": methods.frozen(config, "logistic_regression"),
            "fine-tuned": methods.fine_tuned(config),
        }
        picked = methods.pick_all(
            config, kept, news.valid, shot, choices, sizes, console
        )
        results[shot] = methods.compared(
            config, runs / "run", kept, news.test, shot, picked, sizes
        )
        heads = [name for name in picked if name != "fine-tuned"]
        best = picked[max(heads, key=lambda name: picked[name].score)].setting
    console.print(methods.table(results), markup=False)
    methods.write(runs / "sentiment.json", results)
    return best
