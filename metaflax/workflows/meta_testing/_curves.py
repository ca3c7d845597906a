"""Curves of scores by the number of support examples or inner steps."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import data, evaluation
from metaflax.reporting._tables import interval_text
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run


class Curve(NamedTuple):
    """Evaluators that differ in the value of one setting.

    Attributes:
      setting: name of the setting.
      points: evaluators by value of the setting.
    """

    setting: str
    points: dict[int, Evaluator]


def over_shots(shots: Sequence[int], resized: Callable[[int], Run]) -> Curve:
    """Builds a curve over support examples, on episode lists of one seed.

    Args:
      shots: numbers of support examples per class.
      resized: `run = resized(shot)`; it raises ValueError for too few texts.
    """
    return Curve("shot", {shot: resized(shot).test_evaluator() for shot in shots})


def over_inner_steps(run: Run, counts: Sequence[int]) -> Curve:
    """Builds a curve over inner steps, on the same episodes.

    Raises:
      ValueError: if the algorithm has no inner steps, or does not allow a number.
    """
    name = run.config.algorithm.name
    inner = _evaluator_at(run, 1).algorithm.inner
    if inner is None or not inner.num_steps:
        raise ValueError(
            f"{name} adapts in closed form, without inner steps; leave out inner-steps."
        )

    points = {count: _evaluator_at(run, count) for count in counts}
    return Curve("inner_steps", points)


def _evaluator_at(run: Run, count: int) -> Evaluator:
    if count < 0:
        raise ValueError(f"inner-steps are {count}; give 0 or more.")
    algorithm = dataclasses.replace(run.config.algorithm, eval_num_steps=max(count, 1))
    if not count:  # Algorithms take at least one step; at rate 0 it has no effect.
        algorithm = dataclasses.replace(algorithm, inner_learning_rate=0.0)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    evaluator = run._replace(config=config).test_evaluator()
    params: Any = jax.eval_shape(evaluator.algorithm.init, jax.random.key(0))
    if not count and jax.tree.leaves(params.get("inner")):
        raise ValueError(
            f"{algorithm.name} has meta-learned inner learning rates, which cannot be"
            " set to 0; give inner-steps of 1 or more."
        )
    return evaluator


def curve_record(curve: Curve, params: Any, console: Console) -> list[dict[str, Any]]:
    """Computes the scores along a curve, with intervals over episodes.

    Args:
      curve: evaluators by value of the setting.
      params: meta-parameters to score.
      console: console that prints one line per point.

    Returns:
      One record per point: the value, the protocol of its episodes and the intervals.
    """
    records = []
    for value, evaluator in curve.points.items():
        metrics = evaluator(params).metrics
        intervals = {
            name: evaluation.mean_interval(metrics[name])
            for name in (*evaluator.task.scores, "loss")
        }
        first = evaluator.task.scores[0]
        console.print(
            f"{curve.setting.replace('_', ' ')} {value}: {first}"
            f" {interval_text(first, intervals[first])}"
        )
        records.append(
            {
                "value": value,
                "protocol": data.protocol_hash(evaluator.episodes),
                "intervals": {
                    name: interval._asdict() for name, interval in intervals.items()
                },
            }
        )
    return records
