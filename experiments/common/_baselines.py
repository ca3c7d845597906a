"""A run beside baselines whose settings were chosen on its validation episodes."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.common._baseline_grids import Setting
from metaflax import config as config_lib
from metaflax import data, evaluation, reporting
from metaflax.workflows.meta_testing._evaluate import resize
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._paired_comparison import describe
from metaflax.workflows.runs._run import (
    Run,
    best_params,
    initial_params,
    load_run,
)
from metaflax.workflows.runs._run_directory import RunDirectory, check_result_name
from metaflax.workflows.runs._text_evaluator import TextEvaluator

OURS = "meta-trained"


def against_baselines(
    run_dir: str | Path,
    baselines: Mapping[str, Sequence[Setting]],
    console: Console | None = None,
    *,
    name: str = "baselines",
    valid_episodes: int | Mapping[str, int] = 50,
    episodes: config_lib.EpisodeConfig | None = None,
    evaluation: config_lib.EvaluationConfig | None = None,
    select_by: str | None = None,
    adapting: Sequence[int] = (),
) -> dict[str, Any]:
    """Scores a run's best parameters and baselines on the same test episodes.

    Each baseline starts from pretrained weights, with that of its settings which
    scores best on validation episodes; of test episodes it sees none before.

    Args:
      run_dir: where `train` left the run.
      baselines: the settings of each to choose from.
      console: where choices and a table go; None for nowhere.
      name: of the file written there, `NAME.json`; of texts that are generated there
        are some beside the true ones in `NAME_samples.json`.
      valid_episodes: how many a setting is judged on; by baseline where a number will
        not do for all, since fine-tuning takes far longer than a frozen encoder.
      episodes: sizes of test episodes (default: the run's).
      evaluation: number and seed of test episodes (default: the run's).
      select_by: the score by which settings are selected on validation episodes
        (default: the task type's first).
      adapting: numbers of inner steps of the run to choose from as well; its own unless
        given.

    Returns:
      The content of `NAME.json`: settings chosen, intervals by method, and for each
      baseline the paired difference of the meta-trained model from it; the last two by
      domain too, where test episodes are of several.

    Raises:
      ValueError: if there is no finished run, the sizes do not fit its data, or it has
        no such score.
    """
    console = console_or_quiet(console)
    check_result_name(name)
    directory = RunDirectory(run_dir)
    run = resize(load_run(directory.config()), episodes, evaluation)
    if select_by is not None:
        config_lib.named("score", dict.fromkeys(run.task.scores), select_by)
    params = best_params(directory, initial_params(run))
    scores, chosen = {}, {}

    def num_valid(method: str) -> int:
        if isinstance(valid_episodes, int):
            return valid_episodes
        return valid_episodes.get(method, max(valid_episodes.values()))

    if adapting:
        runs = [_adapting(run, num_steps) for num_steps in adapting]
        tried = [_validated(each, params, num_valid(OURS), select_by) for each in runs]
        run = runs[best := int(np.argmax(tried))]
        chosen[OURS] = {"num_steps": adapting[best], "valid_scores": tried}
        console.print(f"{OURS}: {adapting[best]} inner steps, of {adapting}: {tried}")
    evaluator = run.test_evaluator()
    ours = evaluator(params)
    for baseline, settings in baselines.items():
        # One after another, as each holds a model and data of its own.
        tried = [
            _validated(each, initial_params(each), num_valid(baseline), select_by)
            for each in (with_setting(run, setting) for setting in settings)
        ]
        best = int(np.argmax(tried))
        chosen[baseline] = {
            "model": dataclasses.asdict(settings[best].model),
            "algorithm": dataclasses.asdict(settings[best].algorithm),
            "valid_scores": tried,
        }
        console.print(f"{baseline}: setting {best + 1} of {len(tried)}, {tried}")
        other = with_setting(run, settings[best])
        scores[baseline] = other.test_evaluator()(initial_params(other))
    scores[OURS] = ours
    if isinstance(evaluator, TextEvaluator) and ours.answers is not None:
        directory.write_json(f"{name}_samples.json", evaluator.samples(scores))
    results = {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "chosen": chosen,
        **_intervals(run, evaluator, scores, console),
        "report": evaluator.report(ours),
    }
    directory.write_json(f"{name}.json", results)
    return results


def with_setting(run: Run, setting: Setting) -> Run:
    """The run with another model and algorithm."""
    config = dataclasses.replace(
        run.config, model=setting.model, algorithm=setting.algorithm
    )
    return load_run(config)


def _adapting(run: Run, num_steps: int) -> Run:
    """The run, taking another number of inner steps where it is scored."""
    algorithm = dataclasses.replace(run.config.algorithm, eval_num_steps=num_steps)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    return run._replace(config=config)


def _validated(run: Run, params: Any, num: int, select_by: str | None) -> float:
    """The mean of a score over validation episodes, those of training: see `train`."""
    evaluator = run.evaluator(run.valid, run.config.training.seed + 1, num)
    if select_by is None or select_by == run.task.scores[0]:
        return evaluator.mean(params)[run.task.scores[0]]
    return float(np.mean(evaluator(params).metrics[select_by]))


def _intervals(
    run: Run,
    evaluator: Evaluator | TextEvaluator,
    scores: Mapping[str, evaluation.Scores],
    console: Console,
) -> dict[str, Any]:
    """Means of all methods, and how far ours, the last, is from each baseline."""
    metrics = (*run.task.scores, "loss")
    of_all = np.ones(len(evaluator.episodes), bool)
    columns, paired = _compared(metrics, scores, of_all)
    console.print(reporting.comparison_table(describe(run.config), columns, metrics))
    title = f"{OURS}, less each baseline"
    console.print(reporting.comparison_table(title, paired, metrics, signed=True))
    found = {"intervals": _plain(columns), f"{OURS}_less": _plain(paired)}
    by_domain = {
        name: _compared(metrics, scores, chosen)
        for name, chosen in _of_domains(evaluator).items()
    }
    if len(by_domain) < 2:
        return found
    for metric in run.task.scores:
        _print_by_domain(metric, by_domain, console)
    return found | {
        "by_domain": {
            name: {"intervals": _plain(means), f"{OURS}_less": _plain(differences)}
            for name, (means, differences) in by_domain.items()
        }
    }


Columns = dict[str, dict[str, evaluation.Interval]]


def _compared(
    metrics: Sequence[str], scores: Mapping[str, evaluation.Scores], chosen: np.ndarray
) -> tuple[Columns, Columns]:
    """Means by method, and differences of ours, on some of the episodes."""
    values = {
        method: {m: s.metrics[m][chosen] for m in metrics}
        for method, s in scores.items()
    }
    means = {
        method: {m: evaluation.mean_interval(x) for m, x in own.items()}
        for method, own in values.items()
    }
    ours = values[OURS]
    differences = {
        method: {m: evaluation.paired_interval(own[m], ours[m]) for m in metrics}
        for method, own in values.items()
        if method != OURS
    }
    return means, differences


def _of_domains(evaluator: Evaluator | TextEvaluator) -> dict[str, np.ndarray]:
    """Which episodes `[E]` are of each domain, of those that have two or more."""
    names = evaluator.source.examples.domain_names
    drawn = np.array([-1 if e.domain is None else e.domain for e in evaluator.episodes])
    masks = {name: drawn == number for number, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.sum() > 1}


def _print_by_domain(
    metric: str, by_domain: Mapping[str, tuple[Columns, Columns]], console: Console
) -> None:
    """A row for each domain: means of all methods, and how far ours is from others."""
    columns: dict[str, dict[str, evaluation.Interval]] = {}
    for name, (means, differences) in by_domain.items():
        for method, own in means.items():
            columns.setdefault(method, {})[name] = own[metric]
        for method, own in differences.items():
            columns.setdefault(f"less {method}", {})[name] = own[metric]
    title = f"{metric} by domain"
    console.print(reporting.comparison_table(title, columns, tuple(by_domain)))


def _plain(methods: Columns) -> dict[str, dict[str, Any]]:
    return {m: {k: i._asdict() for k, i in x.items()} for m, x in methods.items()}
