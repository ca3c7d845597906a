"""Scoring a model on a fixed list of episodes."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metaflax import base, data, evaluation, target_kinds, tasks
from metaflax.evaluation._confusion import EpisodePredictions
from metaflax.target_kinds._base import EvaluatedQueries
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._scorer import Chunk, EpisodeResult, Scorer


def finite_means(metrics: dict[str, np.ndarray]) -> dict[str, float]:
    """Computes the mean of each metric `[E]`.

    Raises:
      ValueError: if a loss is not finite.
    """
    means = {name: float(np.mean(values)) for name, values in metrics.items()}
    if not math.isfinite(means["loss"]):
        bad = int(np.flatnonzero(~np.isfinite(metrics["loss"]))[0])
        raise ValueError(
            f"the query loss of evaluation episode {bad} is not finite; lower the"
            " inner learning rate."
        )
    return means


class Evaluator:
    """Adapts to each episode of a fixed list and scores its queries.

    Args:
      scorer: scorer of episodes: by logits, by tokens or by generated texts.
      task: the task type.
      seed: seed for sampling the episodes.
      num_episodes: number of episodes.
      batch_episodes: number of episodes scored per call.

    Attributes:
      episodes: the list of episodes.
      task: the task type.
      kind: the target kind.

    Raises:
      ValueError: if there are no episodes.

    Examples:
      An evaluator is made by `Run.evaluator` or `Run.test_evaluator`:

      >>> from metaflax import workflows
      >>> workflows.Evaluator(scorer=None, task=None, seed=0, num_episodes=0)
      Traceback (most recent call last):
        ...
      ValueError: the number of evaluation episodes is 0; give 1 or more.
    """

    def __init__(
        self,
        scorer: Scorer,
        task: tasks.TaskType,
        *,
        seed: int,
        num_episodes: int,
        batch_episodes: int = 10,
    ):
        if num_episodes < 1:
            raise ValueError(
                f"the number of evaluation episodes is {num_episodes}; give 1 or more."
            )
        self.task, self.kind = task, target_kinds.of(task)
        self.episodes = data.fixed_list(scorer.source.sampler, seed, num_episodes)
        self._scorer = scorer.prepared(self.episodes)
        self._batch = min(batch_episodes, num_episodes)

    @property
    def source(self) -> Episodes:
        """Source of the episodes."""
        return self._scorer.source

    @property
    def algorithm(self) -> base.MetaAlgorithm:
        """Algorithm that adapts to an episode."""
        return self._scorer.algorithm

    @property
    def adapting(self) -> base.MetaAlgorithm:
        """The algorithm on tokens, with compact embedding rows if that is exact."""
        return self._scorer.adapting

    @property
    def has_single_labels(self) -> bool:
        """True if each query has one class, and logits over classes."""
        return self.kind.single_label and self.task.tokens is None

    def __call__(self, params: Any) -> evaluation.Scores:
        """Scores all episodes, in order, with predictions."""
        results = self._results(params, complete=True)
        return evaluation.Scores(
            _columns(results),
            None if results[0].outputs is None else _stacked(results),
            None if results[0].predictions is None else _predictions(results),
        )

    def part(self, first: int, last: int) -> "Evaluator":
        """Returns the evaluator of the episodes `first` to `last - 1`."""
        part = copy.copy(self)
        part.episodes = self.episodes[first:last]
        return part

    def metrics(self, params: Any) -> dict[str, np.ndarray]:
        """Computes each metric that needs no generated text, `[E]`."""
        return _columns(self._results(params, complete=False))

    def mean(self, params: Any) -> dict[str, float]:
        """Computes the mean of each metric that needs no generated text."""
        return finite_means(self.metrics(params))

    def report(self, scores: evaluation.Scores) -> dict[str, Any]:
        """Reports over all queries together, by class, label or domain."""
        return self._scorer.report(self.episodes, scores)

    def class_predictions(self, scores: evaluation.Scores) -> list[EpisodePredictions]:
        """Lists gold and predicted classes, if each query has one class."""
        return self._evaluated(scores).class_predictions()

    def query_logits(
        self, scores: evaluation.Scores
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Lists the logits `[Q, N]` and the gold indices `[Q]` of each episode."""
        logits, targets = zip(*self._evaluated(scores).by_episode(), strict=True)
        # Target -1, none of the episode's classes, is the last index.
        num = scores.logits.shape[-1]
        return list(logits), [row % num for row in targets]

    def samples(self, scores: dict[str, evaluation.Scores]) -> list[dict[str, Any]]:
        """Returns generated texts of several methods with the references."""
        return self._scorer.samples(self.episodes, scores)

    def _evaluated(self, scores: evaluation.Scores) -> EvaluatedQueries:
        return EvaluatedQueries(
            self.source.examples, self.episodes, scores.logits, self.task.others
        )

    def _results(self, params: Any, *, complete: bool) -> list[EpisodeResult]:
        """Computes the results of all episodes, decoded while the device goes on."""
        chunks = self._scorer.chunks(self.episodes, self._batch)
        batches = data.prefetch(self._scorer.batches(params, chunks, complete=complete))
        results: dict[int, EpisodeResult] = {}
        waiting = []
        for chunk, batch in zip(chunks, batches, strict=True):
            waiting.append((chunk, self._scorer.score(params, batch)))
            if len(waiting) > 1:
                results |= self._on_host(*waiting.pop(0))
        results |= self._on_host(*waiting.pop())
        return [results[number] for number in range(len(self.episodes))]

    def _on_host(self, chunk: Chunk, scored: Any) -> dict[int, EpisodeResult]:
        scored = jax.tree.map(np.asarray, scored)
        results = {}
        for place, number in enumerate(chunk.numbers):
            row = jax.tree.map(lambda leaf, n=place: leaf[n], scored)
            results[number] = self._scorer.result(self.episodes[number], row)
        return results


def _columns(results: Any) -> dict[str, np.ndarray]:
    rows = [result.metrics for result in results]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _stacked(results: Sequence[EpisodeResult]) -> Any:
    return jax.tree.map(lambda *rows: np.stack(rows), *(r.outputs for r in results))


def _predictions(results: Sequence[EpisodeResult]) -> list[Any]:
    return [result.predictions for result in results]
