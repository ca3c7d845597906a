"""What a run's answers say beside their scores: calibration and confusion."""

from typing import Any

import numpy as np
from rich.console import Console

from metaflax import evaluation, metrics, reporting
from metaflax.workflows.runs._episodes import make_episodes
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run

# With more classes than this the matrix is left out for the pairs that matter.
MOST_NAMES = 20


def validation_evaluator(run: Run) -> Evaluator | None:
    """Scores validation episodes of the sizes of the test episodes, None for none.

    The classes of meta-validation may be too few, or have too few texts, for sizes that
    were asked for at meta-test.
    """
    chosen = run.config.training
    parts = run.config.episodes, run.config, run.task, run.model
    try:
        episodes = make_episodes(run.splits.valid, *parts)
    except ValueError:
        return None
    # The seed of the validations of meta-training.
    return run.evaluator(episodes, chosen.seed + 1, chosen.valid_episodes)


def calibration_record(
    run: Run,
    evaluator: Evaluator,
    scores: evaluation.Scores,
    params: Any,
    console: Console,
) -> dict[str, Any]:
    """Calibration as it is, and with a temperature fitted on meta-validation.

    Args:
      run: its validation episodes fit the temperature, and no test episode does.
      evaluator: that made the scores.
      scores: of the test episodes.
      params: that made them.
      console: gets a line.

    Returns:
      The record: `as_is`, and `scaled` with its `temperature`, where there are
      validation episodes of these sizes.
    """
    logits, targets = evaluator.query_logits(scores)
    plain = evaluation.calibration(logits, targets)
    record: dict[str, Any] = {"as_is": _plain(plain)}
    shown = f"calibration error {reporting.estimate_text(plain.error)}"
    if (validator := validation_evaluator(run)) is not None:
        own = map(np.concatenate, validator.query_logits(validator(params)))
        temperature = metrics.fit_temperature(*own)
        scaled = evaluation.calibration(logits, targets, temperature)
        record |= {
            "temperature": temperature,
            "validation_episodes": len(validator.episodes),
            "scaled": _plain(scaled),
        }
        shown += (
            f", {reporting.estimate_text(scaled.error)} at the temperature"
            f" {temperature:.3g} of meta-validation"
        )
    console.print(shown, soft_wrap=True)
    return record


def class_record(
    evaluator: Evaluator, scores: evaluation.Scores
) -> dict[str, dict[str, Any]]:
    """The scores of the report of each class, with intervals over episodes."""
    answered = evaluator.class_predictions(scores)
    names = sorted({name for own in answered for name in own.true})
    return {
        name: {score: own._asdict() for score, own in by_score.items()}
        for name, by_score in evaluation.class_intervals(answered, names).items()
    }


def confusion_record(
    evaluator: Evaluator, scores: evaluation.Scores, console: Console
) -> dict[str, Any]:
    """Which classes are taken for which: pairs, and the matrix of few classes."""
    answered = evaluator.class_predictions(scores)
    drawn = {name for own in answered for name in own.drawn}
    names = sorted(drawn - set(evaluator.task.others))
    names += [name for name in evaluator.task.others if name in drawn]
    pairs = evaluation.confused_pairs(answered, names)
    record: dict[str, Any] = {
        "pairs": [pair._asdict() | {"share": pair.share._asdict()} for pair in pairs]
    }
    if len(names) <= MOST_NAMES:
        counts, chances = evaluation.confusion_matrix(answered, names)
        record |= {
            "names": names,
            "counts": counts.tolist(),
            "chances": chances.tolist(),
        }
    for pair in pairs[:3]:
        console.print(
            f"{pair.true} is taken for {pair.predicted} in {pair.number} of"
            f" {pair.chances} queries",
            markup=False,
            soft_wrap=True,
        )
    return record


def _plain(found: evaluation.Calibration) -> dict[str, Any]:
    sizes = np.maximum(found.bins.number, 1)
    return {
        "error": found.error._asdict(),
        "log_loss": found.log_loss._asdict(),
        "count": found.bins.number.astype(int).tolist(),
        "confidence": (found.bins.confidence / sizes).tolist(),
        "accuracy": [own and own._asdict() for own in found.accuracies],
    }
