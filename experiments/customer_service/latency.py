"""Latency of predictions after adaptation."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, workflows


def latency(
    config: config_lib.Config, runs: Path, console: Console, num_requests: int = 1000
) -> None:
    """Adapts to one customer, and times single questions one after another."""
    splits = workflows.load_run(config).splits
    sizes_of = config.episodes
    sampler = data.EpisodeSampler(
        splits.test, sizes_of.way, sizes_of.shot, sizes_of.queries
    )
    episode = sampler.episode(config.evaluation.test_seed, 0)
    support, model = runs / "support.jsonl", runs / "customer"
    rows = [
        {"text": splits.test.texts[row], "label": splits.test.labels[row][0]}
        for row in episode.support
    ]
    common.write_jsonl(support, rows)
    if not model.exists():
        workflows.adapt(support, model, console, run_dir=runs / "intents")
    predictor = workflows.Predictor(model, batch_size=1)
    rng = np.random.default_rng(0)
    numbers = rng.choice(len(splits.test), num_requests)
    seconds = np.array(
        [*timed(predictor, [str(splits.test.texts[n]) for n in numbers])]
    )
    p50, p99 = 1000 * np.quantile(seconds, (0.5, 0.99))
    console.print(
        f"{len(seconds)} questions one at a time: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    common.write_json(runs / "latency.json", {"p50_ms": p50, "p99_ms": p99})


def timed(predictor: workflows.Predictor, texts: Sequence[str]) -> Iterator[float]:
    """Measures seconds of each prediction, after some warm-up calls."""
    for text in (*texts[:20], "and so on " * 20):  # Compiles for long questions too.
        predictor([text])
    for text in texts:
        began = time.perf_counter()
        predictor([text])
        yield time.perf_counter() - began
