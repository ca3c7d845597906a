"""Meta-trains on scores of likeness, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/likeness/run.py [--runs DIR]
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import jax
import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, metrics, tasks, workflows


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines and with cosines without training."""
    likeness(config, runs / "run", console)
    results = evaluation.mean_interval(by_cosine(config))
    console.print(
        f"cosine of sentences read apart: Pearson {results.mean:.4f}"
        f" ± {results.half_width:.4f}"
    )


def likeness(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_test: int = 200,
    num_valid: int = 20,
) -> None:
    """Meta-trains, and meta-tests beside baselines."""
    workflows.train(config, run_dir, console)
    common.against_baselines(
        run_dir,
        {"frozen": frozen(config), "fine-tuned": fine_tuned(config)},
        console,
        valid_episodes=num_valid,
        evaluation=dataclasses.replace(config.evaluation, test_episodes=num_test),
    )


def frozen(config: config_lib.Config) -> list[common.Setting]:
    """Settings of ridge regression with several strengths on either pooling."""
    return common.frozen_settings(config, strength=(0.01, 0.1, 1.0))


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """Settings of fine-tuning from ridge regression, with two learning rates."""
    return common.fine_tuned_settings(config, head=("ridge_regression",))


def by_cosine(config: config_lib.Config, *, num_test: int = 200) -> np.ndarray:
    """Computes Pearson's correlation of each episode's scores with cosines, `[E]`.

    The pretrained network embeds each sentence separately, as in its pretraining;
    nothing is learned from the support set.
    """
    apart = dataclasses.replace(config.model, pair_encoding="one_sequence")
    run = workflows.load_run(dataclasses.replace(config, model=apart))
    texts = run.splits.test.texts
    first, second = (
        embedded(run, [pair[side] for pair in texts])  # [examples, D]
        for side in (0, 1)
    )
    cosines = np.sum(first * second, axis=1)
    episodes = data.fixed_list(run.test.sampler, config.evaluation.test_seed, num_test)
    return np.array(
        [
            metrics.pearson(
                cosines[episode.query],
                episode.query_targets,
                np.ones(len(episode.query), np.float32),
            )
            for episode in episodes
        ]
    )


def embedded(run: Any, texts: list[str], batch_size: int = 64) -> np.ndarray:
    """Computes features of unit length of single sentences, `[U, D]`."""
    model = run.model
    tokenized = model.tokenize(texts, run.config.data, tasks.TEXT)
    apply = jax.jit(model.encoder.apply)
    parts = []
    for start in range(0, len(texts), batch_size):
        rows = np.arange(start, min(start + batch_size, len(texts)))
        tokens = data.collate_texts(tokenized, rows, batch_size)
        parts.append(np.asarray(apply(model.pretrained.params, tokens))[: len(rows)])
    return np.concatenate(parts)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
