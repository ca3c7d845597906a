"""Calibration of a run, fitted on meta-validation and stored with adapted models."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import metrics
from metaflax.config._factories import resolve_algorithm
from metaflax.data.samplers._other_classes import QueriesOfOtherClasses
from metaflax.evaluation._detection import CONFIDENCES, detection
from metaflax.metrics._calibration import LOWEST_TEMPERATURE
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run
from metaflax.workflows.runs._run_directory import RunDirectory

# False-rejection rates whose thresholds are kept; others are interpolated.
RATES = (0.001, 0.002, 0.005, *(round(i / 100, 2) for i in range(1, 51)))
# Score if meta-validation has no texts of other classes to choose a score on.
DEFAULT_SCORE = "largest_probability"


class Calibration(NamedTuple):
    """Temperature and thresholds that were fitted on queries of meta-validation.

    Attributes:
      temperature: divides logits before the softmax.
      score: confidence score that thresholds apply to, a key of
        `CONFIDENCES`; probabilities are at `temperature`.
      rates: false-rejection rates in increasing order.
      thresholds: threshold of each rate; that share of the queries has a lower score.
      queries: number of queries.
      episodes: size of the episodes, such as "5-way 5-shot".
      auroc: how well each score separates queries from texts of other classes, on
        meta-validation; empty where there are none.
    """

    temperature: float
    score: str
    rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    queries: int
    episodes: str
    auroc: Mapping[str, Mapping[str, float]]

    def threshold(self, rate: float) -> float:
        """Returns the threshold of a false-rejection rate.

        Raises:
          ValueError: if the rate is outside the range of the fitted rates.
        """
        if not self.rates or not self.rates[0] <= rate <= self.rates[-1]:
            fitted = (
                f"{self.rates[0]:g} to {self.rates[-1]:g}" if self.rates else "none"
            )
            raise ValueError(
                f"a false-rejection rate of {rate:g} was not fitted on the"
                f" {self.queries} queries of meta-validation; give {fitted}."
            )
        return float(np.interp(rate, self.rates, self.thresholds))

    def confidence(self, logits: np.ndarray) -> np.ndarray:
        """Computes the score that a threshold applies to, from logits `[U, N]`."""
        return CONFIDENCES[self.score](_scaled(self, logits))


def _scaled(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    is_probability = calibration.score == "largest_probability"
    divisor = calibration.temperature if is_probability else 1.0
    return np.asarray(logits, np.float64) / divisor


def calibration_of(record: Any, place: str) -> Calibration:
    """Reads a calibration from the JSON that `calibrate` wrote.

    Raises:
      ValueError: if it is damaged; the message names `place`.
    """
    try:
        calibration = Calibration(**record)
        numbers = calibration.temperature, calibration.queries
        rates, thresholds = calibration.rates, calibration.thresholds
        known = calibration.score in CONFIDENCES
        if not known or not all(np.isfinite([*numbers, *rates, *thresholds])):
            raise ValueError
        if len(rates) != len(thresholds) or not calibration.temperature > 0:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"{place} holds no calibration that can be read; write it again."
        ) from None
    return calibration._replace(rates=tuple(rates), thresholds=tuple(thresholds))


def calibrate(run: Run, evaluator: Evaluator, params: Any) -> Calibration | None:
    """Fits temperature and thresholds on the queries of meta-validation.

    The score for rejection is the one that better separates these queries from texts of
    other classes of meta-validation.

    Args:
      run: the run.
      evaluator: evaluator of its validation episodes.
      params: meta-parameters, usually the selected ones.

    Returns:
      The calibration; None if texts have no single label each.
    """
    if not evaluator.has_single_labels:
        return None
    logits, targets = evaluator.query_logits(evaluator(params))
    together = np.concatenate(logits)
    temperature = metrics.fit_temperature(together, np.concatenate(targets))
    lowest = LOWEST_TEMPERATURE
    if not lowest < temperature < 1 / lowest:
        temperature = 1.0  # All or none are correct: no temperature fits best.
    others = _logits_of_others(run, evaluator, params)
    calibration = Calibration(
        temperature,
        DEFAULT_SCORE,
        (),
        (),
        len(together),
        _sizes_text(run),
        {},
    )
    if others is not None:
        inside, outside = (
            [np.asarray(x, np.float64) / temperature for x in part]
            for part in (logits, others)
        )
        detected = detection(inside, outside)
        auroc = {name: scores["auroc"]._asdict() for name, scores in detected.items()}
        best = max(auroc, key=lambda name: auroc[name]["mean"])
        calibration = calibration._replace(score=best, auroc=auroc)
    rates, thresholds = fit_thresholds(calibration.confidence(together))
    return calibration._replace(rates=rates, thresholds=thresholds)


def fit_thresholds(
    confidences: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fits the threshold of each rate in `RATES` that the number of queries allows.

    Args:
      confidences: confidences of queries of known classes, `[U]`.

    Returns:
      Rates and thresholds; the share of queries below a threshold is at most its rate.

    Examples:
      >>> rates, thresholds = fit_thresholds(np.arange(10.0))
      >>> dict(zip(rates, thresholds))[0.2]
      2.0
    """
    ranked, num = np.sort(confidences), len(confidences)
    # Products of decimal fractions are not exact in floating point.
    below = {rate: int(rate * num + 1e-9) for rate in RATES}
    rates = tuple(rate for rate in RATES if below[rate])
    return rates, tuple(float(ranked[below[rate]]) for rate in rates)


def _logits_of_others(
    run: Run, evaluator: Evaluator, params: Any
) -> list[np.ndarray] | None:
    """Computes the logits of texts of classes that are not in each episode."""
    source: Episodes = run.valid
    if run.task.others:
        return None
    sampler = QueriesOfOtherClasses(source.sampler, source.examples)
    settings = run.config.training
    try:
        other = run.evaluator(
            source._replace(sampler=sampler),
            settings.seed + 1,
            len(evaluator.episodes),
        )
    except ValueError:
        return None
    return other.query_logits(other(params))[0]


def _sizes_text(run: Run) -> str:
    sizes = run.config.episodes
    return f"{sizes.way}-way {sizes.shot}-shot"


def write_calibration(
    run: Run,
    evaluator: Evaluator,
    params: Any,
    directory: RunDirectory,
    console: Console,
) -> None:
    """Fits the calibration of a run, see `calibrate`, and writes it to its directory.

    A failure is printed and not raised: training and evaluation do not depend on it.
    """
    try:
        calibration = calibrate(run, evaluator, params)
    except Exception as error:  # Task types of other packages may raise anything.
        console.print(f"No calibration was made: {error}", markup=False)
        return
    if calibration is not None:
        directory.write_json(directory.calibration.name, calibration._asdict())


def read_calibration(directory: RunDirectory) -> Calibration | None:
    """Reads the calibration of a run; None if it has none, as in earlier versions.

    Raises:
      ValueError: if it is damaged.
    """
    if not directory.calibration.is_file():
        return None
    record = directory.read_json(directory.calibration.name)
    return calibration_of(record, str(directory.calibration))


def why_uncalibrated(
    run: config_lib.Config,
    algorithm: config_lib.AlgorithmConfig,
    *,
    uses_label_names: bool,
    other_head: str | None = None,
) -> str | None:
    """Returns the reason why a run's calibration does not hold for an adapted model.

    It holds for the head and the inner steps that it was fitted with, and for support
    sets that use label names as the run does.

    Args:
      run: config of the run.
      algorithm: config of the algorithm that adapted the model.
      uses_label_names: whether names of classes are support examples of the model.
      other_head: name of the model's head; None if it is the run's head.

    Returns:
      The reason; None if the calibration holds.

    Examples:
      >>> data = config_lib.DataConfig("pets.csv", label_names="as_written")
      >>> maml = config_lib.AlgorithmConfig("maml", num_steps=5)
      >>> run = config_lib.Config(data=data, algorithm=maml)
      >>> why_uncalibrated(run, maml, uses_label_names=True)
      >>> why_uncalibrated(run, maml, uses_label_names=False)
      "the run's temperature is for support sets with names of classes"
      >>> why_uncalibrated(run, maml, uses_label_names=True, other_head="ridge")
      'the temperature of the run is not for ridge'
      >>> more = config_lib.AlgorithmConfig("maml", num_steps=9)
      >>> why_uncalibrated(run, more, uses_label_names=True)
      'the temperature of the run is not for num_steps=9'
    """
    if other_head is not None:
        return f"the temperature of the run is not for {other_head}"
    before, after = map(_inner_steps, (run.algorithm, algorithm))
    if changed := [name for name in before if before[name] != after[name]]:
        name = changed[0]
        return f"the temperature of the run is not for {name}={after[name]}"
    if run.data.uses_label_names == uses_label_names:
        return None
    kind = "with" if run.data.uses_label_names else "without"
    return f"the run's temperature is for support sets {kind} names of classes"


def _inner_steps(algorithm: config_lib.AlgorithmConfig) -> dict[str, Any]:
    """Returns the settings of inner steps, all None for an algorithm without any."""
    takes_steps = resolve_algorithm(algorithm.name).has_inner_steps
    settings = {
        "num_steps": algorithm.eval_num_steps or algorithm.num_steps,
        "inner_learning_rate": algorithm.inner_learning_rate,
        "adapts": algorithm.adapts,
    }
    return {name: value if takes_steps else None for name, value in settings.items()}
