"""Meta-test a run again: other sizes, more episodes, baselines beside it."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, training
from metaflax.workflows._evaluator import Evaluator
from metaflax.workflows._run_directory import RunDirectory, write_whole
from metaflax.workflows._train import Run, compare, initial_params, load_run


def best_params(run: Run, directory: RunDirectory) -> Any:
    """The meta-parameters of a run that validated best.

    Raises:
      ValueError: if the run has not finished.
    """
    chosen = directory.path / "selected.json"
    if not chosen.is_file():
        raise ValueError(
            f"{directory.path} holds no finished run; let `train` come to its end."
        )
    selected = json.loads(chosen.read_text())
    start = initial_params(run)
    checkpoints = training.Checkpoints(directory.checkpoints, read_only=True)
    try:
        best = checkpoints.read_params(start, selected["best_step"])
    finally:
        checkpoints.close()
    share = selected["share"]
    return best if share == 1 else training.interpolate(start, best, share)


def evaluate(
    run_dir: str | Path,
    console: Console,
    *,
    name: str = "evaluation",
    episodes: config_lib.EpisodeConfig | None = None,
    wanted: config_lib.EvaluationConfig | None = None,
    baselines: Sequence[str] = (),
    export: Sequence[int] = (),
) -> dict[str, Any]:
    """Scores a run's best parameters on test episodes, before and after.

    Args:
      run_dir: where `train` left the run.
      console: gets the tables.
      name: of the files written there, `NAME.json` and `NAME.episodes.jsonl`.
      episodes: sizes, where they differ from the run's.
      wanted: number and seed of episodes, likewise.
      baselines: names of baselines to score on the same episodes, from the
        pretrained weights.
      export: numbers of episodes whose support and queries are written as files, for
        `adapt` and `predict`.

    Returns:
      The content of `NAME.json`.

    Raises:
      ValueError: if there is no run, or the sizes do not fit its data.
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    config = dataclasses.replace(
        config,
        episodes=episodes or config.episodes,
        evaluation=wanted or config.evaluation,
    )
    run = load_run(config)
    before = initial_params(run)
    after = best_params(run, directory)
    evaluator = run.test_evaluator()
    scores = {"before": evaluator(before)}
    for baseline in baselines:
        scores[baseline] = _baseline(run, baseline)
    scores["after"] = evaluator(after)
    title = (
        f"{config.algorithm.algorithm}, {config.episodes.way}-way"
        f" {config.episodes.shot}-shot, {len(evaluator.episodes)} test episodes"
    )
    results = compare(evaluator, scores, console, title=title)
    directory.write_json(f"{name}.json", results)
    _write_episodes(directory.path / f"{name}.episodes.jsonl", scores)
    for number in export:
        _export(evaluator, number, directory.path / f"{name}.episode{number}")
    console.print(f"Results are in {directory.path / name}.json.")
    return results


def _baseline(run: Run, name: str) -> evaluation.Scores:
    if name not in config_lib.BASELINES:
        raise ValueError(
            f"unknown baseline {name!r}; known: {', '.join(config_lib.BASELINES)}."
        )
    algorithm = dataclasses.replace(run.config.algorithm, algorithm=name, head=None)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    other = run._replace(config=config)
    return other.test_evaluator()(initial_params(other))


def _write_episodes(path: Path, scores: dict[str, evaluation.Scores]) -> None:
    """One line an episode: the metrics of each method."""
    count = len(next(iter(scores.values())).logits)
    lines = [
        json.dumps(
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
    write_whole(path, "\n".join(lines) + "\n")


def _export(evaluator: Evaluator, number: int, folder: Path) -> None:
    """The texts of an episode as `support.jsonl` and `query.jsonl`."""
    if not 0 <= number < len(evaluator.episodes):
        raise ValueError(
            f"there is no episode {number}; they are 0 to"
            f" {len(evaluator.episodes) - 1}."
        )
    episode, examples = evaluator.episodes[number], evaluator.source.examples
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("support", episode.support), ("query", episode.query)):
        write_whole(folder / f"{part}.jsonl", _lines(examples, rows))


def _lines(examples: data.Examples, rows: np.ndarray) -> str:
    records = []
    for row in rows:
        labels = examples.labels[row]
        label = list(labels) if examples.is_multi_label else labels[0]
        records.append({"text": examples.texts[row], "label": label})
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
