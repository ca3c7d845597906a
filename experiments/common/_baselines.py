"""Comparison of a run with baselines tuned on its validation episodes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.common._baseline_grids import Setting
from experiments.common._intervals import (
    OURS,
    Intervals,
    mean_intervals,
    paired_intervals,
    plain_intervals,
)
from metaflax import config as config_lib
from metaflax import data, evaluation, reporting, workflows
from metaflax.workflows.runs._paired_comparison import describe

# Scores `[E]` by name, from the predictions for the queries of each episode.
MoreScores = Callable[
    [workflows.Evaluator, evaluation.Scores], Mapping[str, np.ndarray]
]


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
    num_steps: Sequence[int] = (),
    more_scores: MoreScores | None = None,
) -> dict[str, Any]:
    """Scores a run's best parameters and baselines on the same test episodes.

    Each baseline starts from pretrained weights, with the setting that scores best on
    validation episodes.

    Args:
      run_dir: where `train` left the run.
      baselines: candidate settings of each baseline.
      console: prints the selected settings and a table.
      name: results are written to `NAME.json`, generated sample texts with their
        targets to `NAME_samples.json`.
      valid_episodes: number of validation episodes for each setting, or by baseline,
        since fine-tuning takes far longer than a frozen encoder.
      episodes: episode sizes (default: the run's).
      evaluation: number and seed of test episodes (default: the run's).
      select_by: the score to select settings by (default: the task type's first).
      num_steps: candidate numbers of inner steps of the run (default: the run's).
      more_scores: `scores = more_scores(evaluator, scores)`, further scores `[E]` by
        name.

    Returns:
      The content of `NAME.json`: selected settings, intervals by method, and the paired
      difference of the meta-trained model from each baseline; the last two also by
      domain, where test episodes have several.

    Raises:
      ValueError: if there is no finished run, the sizes do not fit its data, or it has
        no such score.
    """
    console = console or Console(quiet=True)
    directory = workflows.RunDirectory(run_dir)
    directory.check_result_name(name)
    run = workflows.reload_run(directory).resized(episodes, evaluation)
    if select_by is not None and select_by not in run.task.scores:
        known = ", ".join(run.task.scores)
        raise ValueError(f"unknown score {select_by!r}; known: {known}.")
    params = directory.best_params(run.initial_params())
    scores, selected = {}, {}

    def num_valid(method: str) -> int:
        if isinstance(valid_episodes, int):
            return valid_episodes
        return valid_episodes.get(method, max(valid_episodes.values()))

    if num_steps:
        runs = [_with_inner_steps(run, number) for number in num_steps]
        tried = [_validated(each, params, num_valid(OURS), select_by) for each in runs]
        run = runs[best := int(np.argmax(tried))]
        selected[OURS] = {"num_steps": num_steps[best], "valid_scores": tried}
        console.print(f"{OURS}: {num_steps[best]} inner steps, of {num_steps}: {tried}")
    evaluator = run.test_evaluator()
    ours = evaluator(params)
    for baseline, settings in baselines.items():
        # One after another: each setting holds its own model and data in memory.
        tried = [
            _validated(each, each.initial_params(), num_valid(baseline), select_by)
            for each in (with_setting(run, setting) for setting in settings)
        ]
        best = int(np.argmax(tried))
        selected[baseline] = {
            "model": dataclasses.asdict(settings[best].model),
            "algorithm": dataclasses.asdict(settings[best].algorithm),
            "valid_scores": tried,
        }
        console.print(f"{baseline}: setting {best + 1} of {len(tried)}, {tried}")
        other = with_setting(run, settings[best])
        scores[baseline] = other.test_evaluator()(other.initial_params())
    scores[OURS] = ours
    if more_scores is not None:
        scores = {m: _with_more(more_scores, evaluator, s) for m, s in scores.items()}
    if run.task.texts is not None and ours.answers is not None:
        directory.write_json(f"{name}_samples.json", evaluator.samples(scores))
    results = {
        "episodes": len(evaluator.episodes),
        "protocol": data.protocol_hash(evaluator.episodes),
        "chosen": selected,
        **_intervals(run, evaluator, scores, console),
        "report": evaluator.report(ours),
    }
    directory.write_json(f"{name}.json", results)
    return results


def with_setting(run: workflows.Run, setting: Setting) -> workflows.Run:
    """Loads the run with another model and algorithm."""
    config = dataclasses.replace(
        run.config, model=setting.model, algorithm=setting.algorithm
    )
    return workflows.load_run(config)


def _with_more(
    more_scores: MoreScores, evaluator: workflows.Evaluator, scores: evaluation.Scores
) -> evaluation.Scores:
    """Adds further scores to those of all episodes."""
    further = more_scores(evaluator, scores)
    return scores._replace(metrics={**scores.metrics, **further})


def _with_inner_steps(run: workflows.Run, num_steps: int) -> workflows.Run:
    """The run with another number of inner steps at evaluation."""
    algorithm = dataclasses.replace(run.config.algorithm, eval_num_steps=num_steps)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    return run._replace(config=config)


def _validated(
    run: workflows.Run, params: Any, num: int, select_by: str | None
) -> float:
    """Computes the mean score over the validation episodes that `train` uses."""
    evaluator = run.evaluator(run.valid, run.config.training.seed + 1, num)
    if select_by is None or select_by == run.task.scores[0]:
        return evaluator.mean(params)[run.task.scores[0]]
    return float(np.mean(evaluator(params).metrics[select_by]))


def _intervals(
    run: workflows.Run,
    evaluator: workflows.Evaluator,
    scores: Mapping[str, evaluation.Scores],
    console: Console,
) -> dict[str, Any]:
    """Computes means of all methods and paired differences from each baseline."""
    metrics = tuple(scores[OURS].metrics)
    of_all = np.ones(len(evaluator.episodes), bool)
    columns, paired = _compared(metrics, scores, of_all)
    console.print(reporting.comparison_table(describe(run.config), columns, metrics))
    title = f"{OURS}, less each baseline"
    console.print(reporting.comparison_table(title, paired, metrics, signed=True))
    results = _as_json(columns, paired)
    by_domain = {
        name: _compared(metrics, scores, mask)
        for name, mask in _of_domains(evaluator).items()
    }
    if len(by_domain) < 2:
        return results
    for metric in (name for name in metrics if name != "loss"):
        _print_by_domain(metric, by_domain, console)
    return results | {
        "by_domain": {
            name: _as_json(means, differences)
            for name, (means, differences) in by_domain.items()
        }
    }


Columns = dict[str, Intervals]


def _compared(
    metrics: Sequence[str], scores: Mapping[str, evaluation.Scores], mask: np.ndarray
) -> tuple[Columns, Columns]:
    """Computes means and differences by method on the masked episodes."""
    values = {
        method: {m: s.metrics[m][mask] for m in metrics} for method, s in scores.items()
    }
    means = {method: mean_intervals(x) for method, x in values.items()}
    differences = {
        method: paired_intervals(x, values[OURS])
        for method, x in values.items()
        if method != OURS
    }
    return means, differences


def _of_domains(evaluator: workflows.Evaluator) -> dict[str, np.ndarray]:
    """Masks `[E]` of the episodes of each domain with two or more."""
    names = evaluator.source.examples.domain_names
    numbers = np.array(
        [-1 if e.domain is None else e.domain for e in evaluator.episodes]
    )
    masks = {name: numbers == number for number, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.sum() > 1}


def _print_by_domain(
    metric: str, by_domain: Mapping[str, tuple[Columns, Columns]], console: Console
) -> None:
    """Prints means of all methods and differences from baselines by domain."""
    columns: Columns = {}
    for name, (means, differences) in by_domain.items():
        for method, intervals in means.items():
            columns.setdefault(method, {})[name] = intervals[metric]
        for method, intervals in differences.items():
            columns.setdefault(f"less {method}", {})[name] = intervals[metric]
    title = f"{metric} by domain"
    console.print(reporting.comparison_table(title, columns, tuple(by_domain)))


def _as_json(means: Columns, differences: Columns) -> dict[str, Any]:
    return {
        "intervals": plain_intervals(means),
        f"{OURS}_less": plain_intervals(differences),
    }
