"""Calibration, scores by class and confusion of a run's predictions."""

from typing import Any

import numpy as np
from rich.console import Console

from metaflax import evaluation, metrics
from metaflax.evaluation._calibration import Reliability
from metaflax.evaluation._confusion import (
    class_intervals,
    confused_pairs,
    confusion_matrix,
)
from metaflax.reporting._tables import estimate_text
from metaflax.workflows.runs._episodes import make_episodes
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run

# The most classes of a confusion matrix; beyond, only confused pairs are recorded.
MOST_NAMES = 20


def validation_evaluator(run: Run) -> Evaluator | None:
    """Builds an evaluator of validation episodes of the test episodes' sizes.

    Returns None if meta-validation has too few classes, or too few texts of them, for
    these sizes.
    """
    training = run.config.training
    parts = run.config.episodes, run.config, run.task, run.model
    try:
        episodes = make_episodes(run.splits.valid, *parts)
    except ValueError:
        return None
    # The same seed as in validations during meta-training.
    return run.evaluator(episodes, training.seed + 1, training.valid_episodes)


def calibration_record(
    run: Run,
    evaluator: Evaluator,
    scores: evaluation.Scores,
    params: Any,
    console: Console,
) -> dict[str, Any]:
    """Measures calibration, without and with a temperature fitted on meta-validation.

    Args:
      run: run whose validation episodes fit the temperature.
      evaluator: evaluator of the test episodes.
      scores: its scores of `params`.
      params: meta-parameters that were scored.
      console: console that prints one line.

    Returns:
      The record: `as_is`, and `scaled` with its `temperature` if there are validation
      episodes of these sizes.
    """
    logits, targets = evaluator.query_logits(scores)
    plain = evaluation.calibration(logits, targets)
    record: dict[str, Any] = {"as_is": _to_record(plain)}
    summary = f"calibration error {estimate_text(plain.error)}"
    if (validator := validation_evaluator(run)) is not None:
        validation = map(np.concatenate, validator.query_logits(validator(params)))
        temperature = metrics.fit_temperature(*validation)
        scaled = evaluation.calibration(logits, targets, temperature)
        record |= {
            "temperature": temperature,
            "validation_episodes": len(validator.episodes),
            "scaled": _to_record(scaled),
        }
        summary += (
            f", {estimate_text(scaled.error)} at temperature"
            f" {temperature:.3g}, fitted on meta-validation"
        )
    console.print(summary, soft_wrap=True)
    return record


def class_record(
    evaluator: Evaluator, scores: evaluation.Scores
) -> dict[str, dict[str, Any]]:
    """Computes the report's scores of each class, with intervals over episodes."""
    predictions = evaluator.class_predictions(scores)
    names = sorted({name for episode in predictions for name in episode.true})
    return {
        name: {score: estimate._asdict() for score, estimate in by_score.items()}
        for name, by_score in class_intervals(predictions, names).items()
    }


def confusion_record(
    evaluator: Evaluator, scores: evaluation.Scores, console: Console
) -> dict[str, Any]:
    """Computes confused pairs of classes, and the confusion matrix of few classes."""
    predictions = evaluator.class_predictions(scores)
    drawn = {name for episode in predictions for name in episode.drawn}
    names = sorted(drawn - set(evaluator.task.others))
    names += [name for name in evaluator.task.others if name in drawn]
    pairs = confused_pairs(predictions, names)
    record: dict[str, Any] = {
        "pairs": [pair._asdict() | {"share": pair.share._asdict()} for pair in pairs]
    }
    if len(names) <= MOST_NAMES:
        counts, chances = confusion_matrix(predictions, names)
        record |= {
            "names": names,
            "counts": counts.tolist(),
            "chances": chances.tolist(),
        }
    for pair in pairs[:3]:
        console.print(
            f"{pair.true} is predicted as {pair.predicted} in {pair.number} of"
            f" {pair.chances} queries",
            markup=False,
            soft_wrap=True,
        )
    return record


def _to_record(reliability: Reliability) -> dict[str, Any]:
    sizes = np.maximum(reliability.bins.number, 1)
    return {
        "error": reliability.error._asdict(),
        "log_loss": reliability.log_loss._asdict(),
        "count": reliability.bins.number.astype(int).tolist(),
        "confidence": (reliability.bins.confidence / sizes).tolist(),
        "accuracy": [a and a._asdict() for a in reliability.accuracies],
    }
