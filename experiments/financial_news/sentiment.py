"""Sentiment of news from a few sentences per class."""

from pathlib import Path

import methods
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows


def sentiment(
    config: config_lib.Config,
    runs: Path,
    news: methods.News,
    console: Console,
    sizes: methods.Sizes,
) -> common.Setting:
    """Compares methods at each shot; returns the best frozen setting of the last."""
    kept = runs / "scores" / "sentiment"
    model = runs / "model"
    if not model.exists():
        workflows.export(runs / "run", model)
    choices = {
        **{name: methods.frozen(config, head) for head, name in methods.NAMES.items()},
        methods.TUNED: methods.fine_tuned(config, config.model.name),
        methods.BOTH: methods.fine_tuned(config, str(model)),
    }
    picked = {
        name: methods.pick(
            config, kept / f"{name}, choice.json", news.valid, settings, sizes, console
        )
        for name, settings in choices.items()
    }
    results = methods.compared(config, runs / "run", kept, news.test, picked, sizes)
    console.print(methods.table(results), markup=False, soft_wrap=True)
    gains = methods.gain_table(results, methods.BOTH, methods.TUNED)
    console.print(f"\n{gains}", markup=False, soft_wrap=True)
    methods.write(runs / "sentiment.json", results)
    last = [picked[name][sizes.shots[-1]] for name in methods.NAMES.values()]
    return max(last, key=lambda candidate: candidate.score).setting
