"""Meta-testing of a trained run, with baselines and further evaluations."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import _registry, data, evaluation, tasks
from metaflax import config as config_lib
from metaflax._files import json_text, write_text
from metaflax.algorithms._table import ALGORITHMS
from metaflax.config._files import to_json
from metaflax.workflows.meta_testing._adaptation_cost import adaptation_record
from metaflax.workflows.meta_testing._calibration import (
    calibration_record,
    class_record,
    confusion_record,
    validation_evaluator,
)
from metaflax.workflows.meta_testing._curves import (
    Curve,
    curve_record,
    over_inner_steps,
    over_shots,
)
from metaflax.workflows.meta_testing._out_of_scope import detection_record, detector
from metaflax.workflows.meta_testing._report import report
from metaflax.workflows.runs._calibration import write_calibration
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._episodes import columns
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._paired_comparison import compare, describe
from metaflax.workflows.runs._protocol import episode_protocol
from metaflax.workflows.runs._run import Run, reload_run
from metaflax.workflows.runs._run_data import data_notes
from metaflax.workflows.runs._run_directory import RunDirectory, environment


def evaluate(
    run_dir: str | Path,
    console: Console | None = None,
    *,
    name: str = "evaluation",
    episodes: config_lib.EpisodeConfig | None = None,
    evaluation: config_lib.EvaluationConfig | None = None,
    baselines: Sequence[str] = (),
    baseline: config_lib.AlgorithmConfig | None = None,
    export: Sequence[int] = (),
    out_of_scope: str | Path | None = None,
    shots: Sequence[int] = (),
    inner_steps: Sequence[int] = (),
) -> dict[str, Any]:
    """Scores a run on test episodes, before and after meta-training.

    Args:
      run_dir: run directory that `train` wrote.
      console: console that prints the tables; None prints nothing.
      name: name of the files written there, `NAME.json` and `NAME.episodes.jsonl`.
      episodes: sizes of test episodes (default: the run's).
      evaluation: number and seed of test episodes (default: the run's).
      baselines: names of baselines to score on the same episodes, from the
        pretrained weights.
      baseline: inner optimizer and steps of the baselines (default: the run's).
      export: indices of episodes whose support and query sets are written as files,
        for `adapt` and `predict`.
      out_of_scope: file of texts that belong to no class, for out-of-scope detection.
      shots: numbers of support examples per class, for a curve of scores.
      inner_steps: numbers of inner steps, for a curve of scores.

    Returns:
      The content of `NAME.json`: intervals, paired differences and the report, and of
      the best parameters `calibration`, `confusion` and `classes` if each text has one
      class, `adaptation`, the cost of adaptation, and `detection` and `curves` if
      requested. `used` records the inputs of the predictions: `inductive`, or
      `transductive` if all queries of an episode were used; baselines are inductive.
      `NAME.html` is a report of these results.

    Raises:
      ValueError: if there is no run, its data are too few for the sizes, or it does not
        support a requested evaluation.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.evaluate("runs/a", baselines=["maml"])
      Traceback (most recent call last):
        ...
      ValueError: unknown baseline 'maml'; known: in_context, frozen, fine_tuning, ...
    """
    console = console_or_quiet(console)
    directory = RunDirectory(run_dir)
    directory.check_result_name(name)
    specs = ALGORITHMS.items()
    known = {name: spec for name, spec in specs if spec.is_baseline}
    for method in baselines:
        if not _registry.resolve("baseline", known, method).is_baseline:
            raise ValueError(
                f"{method!r} is meta-trained and no baseline; train it in a separate"
                " run and compare the runs."
            )
    trained = reload_run(directory)
    before = trained.initial_params()
    after = directory.best_params(before)
    if not directory.calibration.is_file():  # A run of an earlier version.
        validator = validation_evaluator(trained)
        if validator is not None:
            write_calibration(trained, validator, after, directory, console)
    run = trained.resized(episodes, evaluation)
    report_notes(data_notes(run), console)
    config = run.config
    evaluator = run.test_evaluator()
    for number in export:
        _check_number(evaluator, number)
    detection = None if out_of_scope is None else detector(run, out_of_scope)
    curves = _curves(trained, run, shots, inner_steps)
    scores = {"before": evaluator(before)}
    for method in baselines:
        scores[method] = _baseline(run, method, baseline or config.algorithm)
    scores["after"] = evaluator(after)
    results = compare(evaluator, scores, console, title=describe(config))
    if evaluator.has_single_labels:
        trained_scores = scores["after"]
        results |= {
            "calibration": calibration_record(
                run, evaluator, trained_scores, after, console
            ),
            "confusion": confusion_record(evaluator, trained_scores, console),
            "classes": class_record(evaluator, trained_scores),
        }
    if detection is not None and out_of_scope is not None:
        record = detection_record(detection, after, out_of_scope, console)
        results["detection"] = record
    results["curves"] = {c.setting: curve_record(c, after, console) for c in curves}
    results["adaptation"] = adaptation_record(evaluator, after, console)
    results["used"] = episode_protocol(config)
    results["config"] = json.loads(to_json(config))
    results["environment"] = environment()
    directory.write_json(f"{name}.json", results)
    _write_episodes(directory.path / f"{name}.episodes.jsonl", scores)
    for number in export:
        folder = directory.path / f"{name}.episode{number}"
        _export(evaluator, number, folder, columns(config.data))
    console.print(f"Results are in {directory.path / name}.json.", soft_wrap=True)
    report(run_dir, console, name=name)
    return results


def _curves(
    trained: Run, run: Run, shots: Sequence[int], inner_steps: Sequence[int]
) -> list[Curve]:
    """Builds the requested curves, which raises before anything is scored."""

    def resized(shot: int) -> Run:
        sizes = dataclasses.replace(run.config.episodes, shot=shot)
        return trained.resized(sizes, run.config.evaluation)

    curves = []
    if shots:
        curves.append(over_shots(shots, resized))
    if inner_steps:
        curves.append(over_inner_steps(run, inner_steps))
    return curves


def _baseline(
    run: Run, name: str, inner: config_lib.AlgorithmConfig
) -> evaluation.Scores:
    algorithm = dataclasses.replace(inner, name=name, head=None)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    other = run._replace(config=config)
    return other.test_evaluator()(other.initial_params())


def _write_episodes(path: Path, scores: dict[str, evaluation.Scores]) -> None:
    """Writes a JSON line per episode with the metrics of each method."""
    count = len(next(iter(scores.values())).metrics["loss"])
    lines = [
        json_text(
            {
                "episode": number,
                **{
                    method: {k: float(x[number]) for k, x in s.metrics.items()}
                    for method, s in scores.items()
                },
            }
        )
        for number in range(count)
    ]
    write_text(path, "\n".join(lines) + "\n")


def _check_number(evaluator: Evaluator, number: int) -> None:
    if not 0 <= number < len(evaluator.episodes):
        raise ValueError(
            f"there is no episode {number}; they are 0 to"
            f" {len(evaluator.episodes) - 1}."
        )


def _export(
    evaluator: Evaluator,
    number: int,
    folder: Path,
    column_names: Mapping[str, str],
) -> None:
    """Writes the texts of an episode to `support.jsonl` and `query.jsonl`."""
    episode, examples = evaluator.episodes[number], evaluator.source.examples
    drawn = [examples.label_names[number] for number in episode.classes]
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("support", episode.support), ("query", episode.query)):
        records = [
            {
                **evaluator.task.form.row(examples.texts[row]),
                **_gold_columns(examples, row, drawn, evaluator.task),
            }
            for row in rows
        ]
        write_text(folder / f"{part}.jsonl", _lines(records, column_names))


def _gold_columns(
    examples: data.Examples, row: int, drawn: Sequence[str], task: tasks.TaskType
) -> dict[str, Any]:
    """Returns the gold columns of an example by role, with the episode's labels only.

    Other examples have the task type's label for none of the classes.
    """
    if task.tokens is not None and examples.targets is not None:
        return task.tokens.rows(task.tokens.restrict(examples.targets[row], drawn))
    if task.texts is not None and examples.targets is not None:
        return task.texts.rows(examples.targets[row])
    if examples.targets is not None:
        return {"label": examples.targets[row]}
    labels = [label for label in examples.labels[row] if label in drawn]
    if examples.is_multi_label:
        return {"label": labels}
    return {"label": labels[0] if labels else task.others[0]}


def _lines(records: Iterable[dict[str, Any]], column_names: Mapping[str, str]) -> str:
    """Formats records by role as JSONL, under the column names of the roles."""
    renamed = (
        {column_names.get(role, role): v for role, v in r.items()} for r in records
    )
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in renamed)
