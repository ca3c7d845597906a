"""Scores of a meta-trained encoder with other heads, or with names of relations."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import reporting, workflows

Change = Callable[[config_lib.Config], config_lib.Config]


def with_head(name: str, **settings: Any) -> Change:
    """Changes the head, which is fitted to each support set."""

    def change(config: config_lib.Config) -> config_lib.Config:
        algorithm = dataclasses.replace(config.algorithm, head=name, **settings)
        return dataclasses.replace(config, algorithm=algorithm)

    return change


def with_names(file: Path) -> Change:
    """Adds the names of relations, from a JSON file, to the support set."""

    def change(config: config_lib.Config) -> config_lib.Config:
        return common.on_data(config, config.data.path, label_names=str(file))

    return change


def together(*changes: Change) -> Change:
    """Composes several changes."""
    return lambda config: functools.reduce(lambda c, change: change(c), changes, config)


def write_names(config: config_lib.Config, file: Path) -> Path:
    """Writes the names in `relations.json`, beside the split file, to another file.

    Raises:
      ValueError: if there is no such file.
    """
    assert config.data.split_file is not None
    source = Path(config.data.split_file).with_name("relations.json")
    if not source.is_file():
        raise ValueError(
            f"{source}: there is no such file; write a JSON object there, of"
            ' {"name": ...} by relation.'
        )
    relations = json.loads(source.read_text("utf-8"))
    names = {label: relation["name"] for label, relation in relations.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    common.write_json(file, names)
    return file


def compare_variants(
    run_dir: Path,
    variants: Mapping[str, Change],
    console: Console,
    *,
    name: str,
    episodes: config_lib.EpisodeConfig,
    evaluation: config_lib.EvaluationConfig,
) -> dict[str, Any]:
    """Scores a run and variants of it on the run's test episodes.

    All variants use the run's encoder; nothing is trained.

    Args:
      run_dir: where `train` left the run.
      variants: changes of its config by the name of a variant.
      console: prints tables.
      name: results are written to `NAME.json`.
      episodes: episode sizes.
      evaluation: number and seed of test episodes.

    Returns:
      The content of `NAME.json`: intervals of each variant, and of its paired
      difference from the run.
    """
    directory = workflows.RunDirectory(run_dir)
    run = workflows.reload_run(directory).resized(episodes, evaluation)
    params = directory.best_params(run.initial_params())
    scores = {common.OURS: run.test_evaluator()(params)}
    for variant, change in variants.items():
        other = workflows.load_run(change(run.config))
        # The run's encoder, with a new head where the variant has another one.
        start = {**other.initial_params(), "encoder": params["encoder"]}
        scores[variant] = other.test_evaluator()(start)
    accuracy = {m: {"accuracy": s.metrics["accuracy"]} for m, s in scores.items()}
    results = _intervals(name, accuracy, console)
    directory.write_json(f"{name}.json", results)
    return results


def _intervals(
    name: str, scores: Mapping[str, Mapping[str, np.ndarray]], console: Console
) -> dict[str, Any]:
    """Computes intervals of scores `[E]`, and of differences from the run's."""
    means = {method: common.mean_intervals(x) for method, x in scores.items()}
    differences = {
        method: common.paired_intervals(scores[common.OURS], x)
        for method, x in scores.items()
        if method != common.OURS
    }
    columns = ("accuracy",)
    console.print(reporting.comparison_table(name, means, columns))
    title = f"less {common.OURS}"
    console.print(reporting.comparison_table(title, differences, columns, signed=True))
    return {
        "intervals": common.plain_intervals(means),
        f"less_{common.OURS}": common.plain_intervals(differences),
    }
