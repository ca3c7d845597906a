"""Selection of the decoding of entities on validation episodes.

Candidates type single words, or spans above a threshold of log-odds.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments import common
from experiments.common._baselines import with_setting
from metaflax import evaluation, workflows

RESULTS = "decoding.json"
METRICS = ("f1", "precision", "recall")
WORDS: dict[str, Any] = {"entity_typing": "words", "entity_threshold": 0.0}
DECODINGS: dict[str, dict[str, Any]] = {
    "words": WORDS,
    **{
        f"spans from {log_odds:+g}": {
            "entity_typing": "spans",
            "entity_threshold": log_odds,
        }
        for log_odds in (1.0, 0.0, -1.0, -2.0)
    },
}


def score_decodings(
    run_dir: Path,
    console: Console,
    *,
    shots: Sequence[int] = (5, 1),
    num_valid: int = 100,
) -> dict[str, Any]:
    """Selects a run's decoding on validation episodes, and scores it on test episodes.

    Args:
      run_dir: where `train` left the run.
      console: prints the scores.
      shots: numbers of entities per type; a decoding is selected for each number.
      num_valid: number of validation episodes.

    Returns:
      The content of `decoding.json`: for each number of shots the mean F1 of each
      decoding on validation episodes, the selected decoding, and the scores of that one
      and of single words by test episode.
    """
    directory = workflows.RunDirectory(run_dir)
    run = workflows.reload_run(directory)
    params = directory.best_params(run.initial_params())
    results: dict[str, Any] = {}
    for shot in shots:
        sized = run.resized(dataclasses.replace(run.config.episodes, shot=shot), None)
        decoded = {name: _decoded(sized, how) for name, how in DECODINGS.items()}
        valid = {name: _f1(each, params, num_valid) for name, each in decoded.items()}
        best = max(valid, key=lambda name: valid[name])
        scores = {
            n: _scored(decoded[n], params) for n in dict.fromkeys((best, "words"))
        }
        means = {n: f"{np.mean(scores[best][n]):.3f}" for n in METRICS}
        console.print(f"{run_dir.name}, {shot}-shot, {best}: {means}")
        results[f"shot{shot}"] = {"valid": valid, "chosen": best, "scores": scores}
    directory.write_json(RESULTS, results)
    return results


def print_difference(
    first: Mapping[str, Any], second: Mapping[str, Any], console: Console, shot: int
) -> None:
    """Prints the paired difference in F1 of two runs with their selected decodings."""
    parts = [results[f"shot{shot}"] for results in (first, second)]
    scores = [np.array(part["scores"][part["chosen"]]["f1"]) for part in parts]
    difference = evaluation.paired_interval(scores[1], scores[0])
    console.print(f"{shot}-shot, first less second: {difference}")


def _decoded(run: workflows.Run, settings: Mapping[str, Any]) -> workflows.Run:
    algorithm = dataclasses.replace(run.config.algorithm, **settings)
    return with_setting(run, common.Setting(run.config.model, algorithm))


def _f1(run: workflows.Run, params: Any, num: int) -> float:
    evaluator = run.evaluator(run.valid, run.config.training.seed + 1, num)
    return float(np.mean(evaluator(params).metrics["f1"]))


def _scored(run: workflows.Run, params: Any) -> dict[str, Any]:
    evaluator = run.test_evaluator()
    scores = evaluator(params)
    return {
        **{name: np.asarray(scores.metrics[name]).tolist() for name in METRICS},
        "report": evaluator.report(scores),
    }
