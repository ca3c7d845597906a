"""Meta-learning of a pretrained decoder beside four baselines, on the same episodes."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.common._decoder_methods import (
    BASELINES,
    META,
    TRAINED,
    Candidate,
    candidates,
)
from experiments.common._decoder_samples import sample_records
from metaflax import config as config_lib
from metaflax import data, evaluation
from metaflax.workflows.meta_training._train import meta_train
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._loaded_model import LoadedModel, load_model
from metaflax.workflows.runs._run import Run, best_params, initial_params, load_run
from metaflax.workflows.runs._run_directory import RunDirectory

Values = dict[str, np.ndarray]


class Scored(NamedTuple):
    """Scores of a method on the test episodes.

    Attributes:
      values: by metric, `[E]`, or `[G]` of the first G episodes where texts were
        generated.
      texts: scores of those G episodes with what was generated.
    """

    values: Values
    texts: evaluation.Scores


def compare_decoders(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    generated: int = 24,
    rates: Sequence[float] = (1e-2, 3e-2),
    valid_episodes: int = 8,
) -> dict[str, Any]:
    """Meta-trains a decoder and compares it with four baselines.

    `fomaml`, `metaicl` and joint training start from the same model and see the same
    episodes of meta-training. Of the first two, and of the learning rates of inner
    steps and of fine-tuning, those are taken to meta-test that score best on validation
    episodes.

    Args:
      config: of `fomaml`, see `decoder_config`.
      runs: the folder of the runs `fomaml`, `metaicl` and `joint`; a finished run is
        not trained again.
      console: prints what happens.
      generated: number of test episodes in which texts are generated, the first ones.
      rates: learning rates of inner steps and of fine-tuning.
      valid_episodes: number of validation episodes of each setting.

    Returns:
      A record of JSON values: `means` by method and metric, the paired `differences` of
      the better meta-learned method from each baseline, `domains`, the selected
      settings, seconds, and `samples`, which texts were generated.

    Raises:
      ValueError: if the config makes no run.
    """
    seconds = {}
    for name in TRAINED.values():
        seconds[f"train {name}"] = _timed(
            lambda name=name: meta_train(_named(config, name), runs / name, console)
        )
    model = load_model(config.model, config_lib.build_task(config))
    start = load_run(config, lambda: model)
    selected: dict[str, Candidate] = {}
    valid: dict[str, dict[str, float]] = {}
    started = time.monotonic()
    for each in candidates(config.algorithm, rates):
        run = _run(config, each, model)
        params = _params(each.method, start, runs)
        score = _validated(run, params, valid_episodes)
        rate = f"{each.algorithm.inner_learning_rate:g}"
        console.print(f"validation of {each.method}, rate {rate}: {score:.4f}")
        of_method = valid.setdefault(each.method, {})
        if not of_method or score > max(of_method.values()):
            selected[each.method] = each
        of_method[rate] = score
    meta = max(META, key=lambda method: max(valid[method].values()))
    seconds["validation"] = round(time.monotonic() - started)
    scored, evaluators = {}, {}
    for method in (meta, *BASELINES):
        run, started = _run(config, selected[method], model), time.monotonic()
        evaluators[method] = evaluator = run.test_evaluator()
        scored[method] = _tested(evaluator, _params(method, start, runs), generated)
        seconds[f"test {method}"] = round(time.monotonic() - started)
        console.print(f"{method}: {_means(scored[method].values)}")
    return {
        "episodes": len(evaluators[meta].episodes),
        "generated": generated,
        "protocol": data.protocol_hash(evaluators[meta].episodes),
        "meta": meta,
        "validation": valid,
        "selected": {m: c.algorithm.inner_learning_rate for m, c in selected.items()},
        "means": {method: _means(scored[method].values) for method in scored},
        "differences": {
            method: _differences(scored[method].values, scored[meta].values)
            for method in BASELINES
        },
        "domains": _domains(start, evaluators[meta], scored),
        "seconds": seconds,
        "samples": sample_records(
            evaluators[meta], {m: s.texts for m, s in scored.items()}
        ),
    }


def _named(config: config_lib.Config, name: str) -> config_lib.Config:
    algorithm = dataclasses.replace(config.algorithm, name=name)
    return dataclasses.replace(config, algorithm=algorithm)


def _run(config: config_lib.Config, each: Candidate, model: LoadedModel) -> Run:
    return load_run(
        dataclasses.replace(config, algorithm=each.algorithm), lambda: model
    )


def _params(method: str, start: Run, runs: Path) -> Any:
    """Returns the trained parameters of a method, or those of the plain model."""
    params = initial_params(start)
    if method not in TRAINED:
        return params
    return best_params(RunDirectory(runs / TRAINED[method]), params)


def _validated(run: Run, params: Any, number: int) -> float:
    evaluator = run.evaluator(run.valid, run.config.training.seed + 1, number)
    return evaluator.mean(params)[run.task.scores[0]]


def _tested(evaluator: Evaluator, params: Any, generated: int) -> Scored:
    """Scores all episodes, and generates texts in the first ones."""
    first = evaluator.part(0, generated)(params)
    values = dict(first.metrics)
    if generated < len(evaluator.episodes):
        rest = evaluator.part(generated, len(evaluator.episodes)).metrics(params)
        for name, column in rest.items():
            values[name] = np.concatenate([values[name], column])
    return Scored(values, first)


def _timed(do: Any) -> int:
    started = time.monotonic()
    do()
    return round(time.monotonic() - started)


def _means(values: Values) -> dict[str, Any]:
    return {n: evaluation.mean_interval(x)._asdict() for n, x in values.items()}


def _differences(baseline: Values, meta: Values) -> dict[str, Any]:
    return {
        name: evaluation.paired_interval(baseline[name], column)._asdict()
        for name, column in meta.items()
    }


def _domains(
    run: Run, evaluator: Evaluator, scored: dict[str, Scored]
) -> dict[str, dict[str, float]]:
    """Computes the mean of the first score of each method by domain."""
    names, score = evaluator.source.examples.domain_names, run.task.scores[0]
    numbers = np.array([episode.domain or 0 for episode in evaluator.episodes])
    return {
        name: {
            method: float(np.mean(each.values[score][numbers == number]))
            for method, each in scored.items()
        }
        for number, name in enumerate(names)
        if np.any(numbers == number)
    }
