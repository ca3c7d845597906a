"""Scores by the number of support examples, and by the number of inner steps."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import data, evaluation, reporting
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import Run


class Curve(NamedTuple):
    """Evaluators along one setting, everything else the same.

    Attributes:
      setting: which one.
      points: by its values.
    """

    setting: str
    points: dict[int, Evaluator]


def over_shots(shots: Sequence[int], resized: Callable[[int], Run]) -> Curve:
    """A curve over support examples, on episode lists of one seed.

    Args:
      shots: the numbers of support examples.
      resized: `run = resized(shot)`, refused where the data have too few texts.
    """
    return Curve("shot", {shot: resized(shot).test_evaluator() for shot in shots})


def over_inner_steps(run: Run, counts: Sequence[int]) -> Curve:
    """A curve over inner steps, on the same episodes.

    Raises:
      ValueError: if the algorithm takes none, or not so many.
    """
    name = run.config.algorithm.name
    inner = _stepping(run, 1).algorithm.inner
    if inner is None or not inner.num_steps:
        raise ValueError(
            f"{name} adapts in closed form, without inner steps to count; leave"
            " inner-steps out."
        )

    points = {count: _stepping(run, count) for count in counts}
    return Curve("inner_steps", points)


def _stepping(run: Run, count: int) -> Evaluator:
    if count < 0:
        raise ValueError(f"inner-steps are {count}; give 0 or more.")
    algorithm = dataclasses.replace(run.config.algorithm, eval_num_steps=max(count, 1))
    if not count:  # Algorithms take a step at least: one of length 0 changes nothing.
        algorithm = dataclasses.replace(algorithm, inner_learning_rate=0.0)
    config = dataclasses.replace(run.config, algorithm=algorithm)
    evaluator = run._replace(config=config).test_evaluator()
    params: Any = jax.eval_shape(evaluator.algorithm.init, jax.random.key(0))
    if not count and jax.tree.leaves(params.get("inner")):
        raise ValueError(
            f"{algorithm.name} has learned its inner rates, which cannot be taken"
            " as 0; give inner-steps from 1 on."
        )
    return evaluator


def curve_record(curve: Curve, params: Any, console: Console) -> list[dict[str, Any]]:
    """The scores along a curve, with intervals over episodes.

    Args:
      curve: its evaluators.
      params: to be scored.
      console: gets a line a point.

    Returns:
      A record a point: the value, the protocol of its episodes and the intervals.
    """
    records = []
    for value, evaluator in curve.points.items():
        found = evaluator(params).metrics
        intervals = {
            name: evaluation.mean_interval(found[name])
            for name in (*evaluator.task.scores, "loss")
        }
        first = evaluator.task.scores[0]
        console.print(
            f"{curve.setting.replace('_', ' ')} {value}: {first}"
            f" {reporting.interval_text(first, intervals[first])}"
        )
        records.append(
            {
                "value": value,
                "protocol": data.protocol_hash(evaluator.episodes),
                "intervals": {name: own._asdict() for name, own in intervals.items()},
            }
        )
    return records
