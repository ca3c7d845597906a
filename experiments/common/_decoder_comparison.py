"""Comparison of meta-learned pretrained decoders with four baselines."""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.common._decoder_methods import (
    BASELINES,
    JOINT,
    META,
    TRAINED,
    Candidate,
    candidates,
)
from experiments.common._decoder_samples import sample_records
from experiments.common._files import write_json
from metaflax import config as config_lib
from metaflax import data, evaluation, workflows

Values = dict[str, np.ndarray]


class Scored(NamedTuple):
    """Scores of a method on the test episodes.

    Attributes:
      values: scores by metric, `[E]`, or `[G]` of the first G episodes where texts were
        generated.
      texts: the generated texts of those G episodes; empty where none were.
    """

    values: Values
    texts: list[list[str]]


def compare_decoders(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    meta: Sequence[str] = META,
    generated: int = 20,
    rates: Sequence[float] = (1e-2, 3e-2),
    valid_episodes: int = 6,
) -> dict[str, Any]:
    """Meta-trains a decoder and compares it with four baselines.

    `fomaml`, `metaicl` and joint training start from the same model and see the same
    episodes of meta-training. Of the first two, and of the learning rates of inner
    steps and of fine-tuning, those are taken to meta-test that score best on validation
    episodes.

    Args:
      config: config of `fomaml`, see `decoder_config`.
      runs: the folder of the runs `fomaml`, `metaicl` and `joint`, and of scores on
        validation and test episodes; what is in it is not computed again.
      console: prints what happens.
      meta: the meta-learned methods that are trained and selected from.
      generated: number of test episodes in which texts are generated, the first ones.
      rates: learning rates of inner steps and of fine-tuning.
      valid_episodes: number of validation episodes of each setting.

    Returns:
      A record of JSON values: `means` by method and metric, the paired `differences` of
      the better meta-learned method from each baseline, `domains`, the selected
      settings, seconds of CPU time, and `samples`, which texts were generated.

    Raises:
      ValueError: if the config makes no run.
    """
    seconds = _Seconds()
    for name in (name for m, name in TRAINED.items() if m in (*meta, JOINT)):
        with seconds.of(f"train {name}"):
            workflows.meta_train(_named(config, name), runs / name, console)
    model = workflows.load_model(config.model, config_lib.build_task(config))
    start = workflows.load_run(config, lambda: model)

    def run_of(each: Candidate) -> workflows.Run:
        settings = dataclasses.replace(config, algorithm=each.algorithm)
        return workflows.load_run(settings, lambda: model)

    def validated(each: Candidate) -> float:
        run, seed = run_of(each), config.training.seed + 1
        evaluator = run.evaluator(run.valid, seed, valid_episodes)
        return evaluator.mean(_params(each.method, start, runs))[run.task.scores[0]]

    def tested(each: Candidate) -> dict[str, Any]:
        params = _params(each.method, start, runs)
        return _tested(run_of(each).test_evaluator(), params, generated)

    with seconds.of("validation"):
        tried = candidates(config.algorithm, rates, meta)
        valid, selected = _selected(tried, validated, runs / "valid", console)
    best = max(meta, key=lambda method: max(valid[method].values()))
    scored = {}
    for method in (best, *reversed(BASELINES)):  # The cheap methods first.
        file, each = runs / "test" / f"{method}.json", selected[method]
        with seconds.of(f"test {method}"):
            record = _kept(file, functools.partial(tested, each))
        values = {name: np.array(x) for name, x in record["values"].items()}
        scored[method] = Scored(values, record["texts"])
        console.print(f"{method}: {_means(values)}")
    evaluator = start.test_evaluator()
    texts = {method: each.texts for method, each in scored.items()}
    return {
        "episodes": len(evaluator.episodes),
        "generated": generated,
        "protocol": data.protocol_hash(evaluator.episodes),
        "meta": best,
        "validation": valid,
        "selected": {m: c.algorithm.inner_learning_rate for m, c in selected.items()},
        "means": {method: _means(each.values) for method, each in scored.items()},
        "differences": {
            method: _differences(scored[method].values, scored[best].values)
            for method in BASELINES
        },
        "domains": _domains(start, evaluator, scored),
        "seconds": seconds,
        "samples": sample_records(evaluator, texts),
    }


class _Seconds(dict[str, int]):
    """Seconds of CPU time by name; pauses of the process do not count."""

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measures the time of a `with` block."""
        started = time.process_time()
        yield
        self[name] = round(time.process_time() - started)


def _selected(
    tried: Sequence[Candidate],
    validated: Callable[[Candidate], float],
    folder: Path,
    console: Console,
) -> tuple[dict[str, dict[str, float]], dict[str, Candidate]]:
    """Returns validation scores by method and rate, and the best setting of each."""
    valid: dict[str, dict[str, float]] = {}
    selected: dict[str, Candidate] = {}
    for each in tried:
        rate = f"{each.algorithm.inner_learning_rate:g}"
        file = folder / f"{each.method} {rate}.json"
        score = _kept(file, functools.partial(validated, each))
        console.print(f"validation of {each.method}, rate {rate}: {score:.4f}")
        of_method = valid.setdefault(each.method, {})
        if not of_method or score > max(of_method.values()):
            selected[each.method] = each
        of_method[rate] = score
    return valid, selected


def _kept(path: Path, compute: Callable[[], Any]) -> Any:
    """Reads a JSON value from a file, or computes and writes it if there is no file."""
    if not path.is_file():
        write_json(path, compute())
    return json.loads(path.read_text("utf-8"))


def _named(config: config_lib.Config, name: str) -> config_lib.Config:
    algorithm = dataclasses.replace(config.algorithm, name=name)
    return dataclasses.replace(config, algorithm=algorithm)


def _params(method: str, start: workflows.Run, runs: Path) -> Any:
    """Returns the trained parameters of a method, or those of the plain model."""
    params = start.initial_params()
    if method not in TRAINED:
        return params
    return workflows.RunDirectory(runs / TRAINED[method]).best_params(params)


def _tested(
    evaluator: workflows.Evaluator, params: Any, generated: int
) -> dict[str, Any]:
    """Scores all episodes, and generates texts in the first ones."""
    number = len(evaluator.episodes)
    first = evaluator.part(0, min(generated, number))(params)
    values = dict(first.metrics)
    if generated < number:
        for name, column in evaluator.part(generated, number).metrics(params).items():
            values[name] = np.concatenate([values[name], column])
    return {
        "values": {name: np.asarray(x, float).tolist() for name, x in values.items()},
        "texts": [[r["generated"] for r in rows] for rows in first.answers or ()]
        if evaluator.task.texts is not None
        else [],
    }


def _means(values: Values) -> dict[str, Any]:
    return {n: evaluation.mean_interval(x)._asdict() for n, x in values.items()}


def _differences(baseline: Values, meta: Values) -> dict[str, Any]:
    return {
        name: evaluation.paired_interval(baseline[name], column)._asdict()
        for name, column in meta.items()
    }


def _domains(
    run: workflows.Run, evaluator: workflows.Evaluator, scored: dict[str, Scored]
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
