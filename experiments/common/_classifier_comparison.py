"""Comparison of meta-trained encoders with baselines without meta-learning."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.common._baseline_grids import (
    Setting,
    fine_tuned_settings,
    frozen_settings,
)
from experiments.common._baselines import OURS, against_baselines
from experiments.common._files import write_json
from experiments.common._joint_classifier import joint_classifier
from experiments.common._tables import markdown_table, percent
from metaflax import config as config_lib
from metaflax import evaluation, workflows

JOINT, FINE_TUNED, FROZEN = "joint", "fine-tuned", "frozen"
# Numbers of validation episodes: fine-tuning takes far longer than a frozen head.
_VALID_EPISODES = {JOINT: 50, FINE_TUNED: 15, FROZEN: 50}
# Layers for fine-tuning on long texts: steps on all six take three times as long.
LAST_TWO_OF_SIX = "*", "!encoder/embeddings", "!encoder/layer_[0-3]"
_HEADS = "prototypes", "ridge", "logistic_regression"


def compare_classifiers(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    tuned: Mapping[str, Sequence[Any]] | None = None,
    valid_episodes: Mapping[str, int] = _VALID_EPISODES,
    **settings: Any,
) -> dict[str, Any]:
    """Meta-trains, and compares with three baselines on the same episodes.

    `joint` is the encoder after `joint_classifier` and `frozen` the pretrained one,
    each with a head that is fitted to the support set; `fine-tuned` is the pretrained
    one after steps on it. Validation episodes select the head and the learning rate.

    Args:
      config: the config of the run.
      runs: the folder of `run` and `joint-model`.
      console: prints what happens.
      tuned: candidate settings of fine-tuning, as for `fine_tuned_settings`.
      valid_episodes: number of validation episodes of each setting, by baseline.
      **settings: of `against_baselines`.

    Returns:
      The results of `against_baselines`, which are in `runs/classifiers.json` too.

    Raises:
      ValueError: if the config makes no run.
    """
    workflows.train(config, runs / "run", console)
    model = joint_classifier(config, runs / "joint-model")
    jointly = dataclasses.replace(config, model=model)
    baselines = {
        JOINT: _frozen(jointly),
        FINE_TUNED: fine_tuned_settings(config, **(tuned or {})),
        FROZEN: _frozen(config),
    }
    results = against_baselines(
        runs / "run",
        baselines,
        console,
        valid_episodes=valid_episodes,
        evaluation=config.evaluation,
        **settings,
    )
    write_json(runs / "classifiers.json", results)
    return results


def compare_frozen(
    config: config_lib.Config, runs: Path, console: Console, num_episodes: int
) -> dict[str, Any]:
    """Compares methods without inner steps on more episodes than `compare_classifiers`.

    Args:
      config: the config of the run.
      runs: the folder of `compare_classifiers`.
      console: prints what happens.
      num_episodes: number of test episodes.

    Returns:
      The results of `against_baselines`.

    Raises:
      ValueError: if the config makes no run.
    """
    model = joint_classifier(config, runs / "joint-model")
    jointly = dataclasses.replace(config, model=model)
    return against_baselines(
        runs / "run",
        {JOINT: _frozen(jointly), FROZEN: _frozen(config)},
        console,
        name="frozen",
        evaluation=dataclasses.replace(config.evaluation, test_episodes=num_episodes),
    )


def _frozen(config: config_lib.Config) -> list[Setting]:
    """Settings of three heads on the config's pooling."""
    pooling = (config.model.pooling or "mean",)
    return frozen_settings(config, head=_HEADS, pooling=pooling)


def classifier_table(results: dict[str, Any], score: str = "accuracy") -> str:
    """Formats a score of each method, and what meta-training gains on each.

    Args:
      results: of `compare_classifiers`, or of one of its domains.
      score: the name of the score.

    Examples:
      >>> one = {"accuracy": {"mean": 0.5, "half_width": 0.1}}
      >>> results = {
      ...     "intervals": {"frozen": one, "meta-trained": one},
      ...     "meta-trained_less": {"frozen": one},
      ... }
      >>> print(classifier_table(results).splitlines()[3])
      | frozen | 50.00 ± 10.00 | +50.00 ± 10.00 |
    """

    def cell(intervals: dict[str, dict[str, float]], sign: str = "") -> str:
        return percent(evaluation.Interval(**intervals[score]), sign)

    means, less = results["intervals"], results[f"{OURS}_less"]
    rows = [[OURS, cell(means[OURS]), ""]]
    rows += [[name, cell(means[name]), cell(less[name], "+")] for name in less]
    return markdown_table(["method", score, f"{OURS} less it"], rows)
