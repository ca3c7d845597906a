"""Scoring a language model on a fixed list of episodes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, data, evaluation, tasks
from metaflax.config import AlgorithmConfig, build_algorithm
from metaflax.workflows._episodes import Episodes, coarse_buckets, coarsest_buckets
from metaflax.workflows._evaluator import finite_means
from metaflax.workflows._speaker import Speaker


class Asked(NamedTuple):
    """Some episodes as arrays.

    Attributes:
      task: leaves `[T, ...]`.
      prompts: of the queries, `[T, Q, L]`; None where nothing is to be generated.
    """

    task: base.Task
    prompts: Any


class TextEvaluator:
    """Adapts to each of a fixed list of episodes, and asks it for texts.

    True texts are scored by how likely the model holds them to be; then it generates
    its own, which the task type judges, an episode at a time.

    Args:
      config: of the algorithm.
      model: the language model.
      task: gives loss and metrics, and judges.
      episodes: where they are drawn from.
      seed: draws them.
      num_episodes: how many.
      batch_episodes: how many are scored in one call.
      num_beams: of the search that generates; 1 for the likeliest word each time.

    Raises:
      ValueError: if there are no episodes or no beams.
    """

    def __init__(
        self,
        config: AlgorithmConfig,
        model: Speaker,
        task: tasks.TaskType,
        episodes: Episodes,
        *,
        seed: int,
        num_episodes: int,
        batch_episodes: int = 10,
        num_beams: int = 1,
    ):
        if num_episodes < 1:
            raise ValueError(f"there must be an episode, got {num_episodes}.")
        assert task.texts is not None
        assert episodes.pairs is not None
        pairs = episodes.pairs
        buckets = coarsest_buckets(pairs.prompts, pairs.inputs)
        self.source = episodes._replace(buckets=buckets)
        self.task = task
        self.episodes = data.fixed_list(episodes.sampler, seed, num_episodes)
        self._level = task.texts
        self._model = model
        self._batch = min(batch_episodes, num_episodes)
        speech = pairs.speech
        self._prompts = data.tokenize_prompts(
            model.tokenizer, episodes.examples.texts, level=task.texts, speech=speech
        )
        algorithm = build_algorithm(
            config,
            model.encoder,
            model.init,
            task,
            episodes.sizes.num_classes,
            num_steps=config.eval_num_steps,
        )
        self.algorithm = algorithm
        parts = algorithm, task.loss, task.metrics
        self._score = evaluation.generating_scorer(*parts)
        generate = model.generator(speech, num_beams)
        self._score_and_generate = evaluation.generating_scorer(*parts, generate)

    def __call__(self, params: Any) -> evaluation.Scores:
        """The scores of all episodes, in order, and what was generated."""
        if not self._level.scores:
            return self._likelihood(params)
        metrics, answers = self._run(self._score_and_generate, params, generates=True)
        judged = [
            self._level.judge([record["generated"] for record in said], true)
            for said, true in zip(answers, map(self._true, self.episodes), strict=True)
        ]
        of_texts = {n: np.array([j[n] for j in judged]) for n in self._level.scores}
        return evaluation.Scores({**metrics, **of_texts}, None, answers)

    def mean(self, params: Any) -> dict[str, float]:
        """The mean of each metric that can be told without generating."""
        return finite_means(self._likelihood(params))

    def report(self, scores: evaluation.Scores) -> dict[str, Any]:
        """The means of each domain's episodes."""
        names = self.source.examples.domain_names or ("all",)
        of_episode = np.array([episode.domain or 0 for episode in self.episodes])
        metrics = {name: scores.metrics[name] for name in self.task.scores}
        return {
            name: {
                **{m: float(np.mean(x[of_episode == n])) for m, x in metrics.items()},
                "support": int(np.sum(of_episode == n)),
            }
            for n, name in enumerate(names)
            if np.any(of_episode == n)
        }

    def _likelihood(self, params: Any) -> evaluation.Scores:
        metrics, _ = self._run(self._score, params, generates=False)
        return evaluation.Scores(metrics, None)

    def _true(self, episode: data.Episode) -> list[str]:
        targets = self.source.examples.targets or ()
        return [targets[number] for number in episode.query]

    def _run(
        self, score: Any, params: Any, *, generates: bool
    ) -> tuple[dict[str, np.ndarray], list[list[dict[str, Any]]]]:
        """Metrics of all episodes, and answers to their queries."""
        num = len(self.episodes)
        chunks = [
            self.episodes[i : i + self._batch] for i in range(0, num, self._batch)
        ]
        # The last chunk is filled up, so that it needs no compilation of its own.
        chunks[-1] = chunks[-1] + chunks[-1][-1:] * (self._batch - len(chunks[-1]))
        parts, answers = [], []
        batches = data.prefetch(self._asked(chunks, generates))
        for chunk, asked in zip(chunks, batches, strict=True):
            metrics, generated = score(params, *asked)
            parts.append(metrics)
            if generates:
                answers += self._answers(chunk, jax.tree.map(np.asarray, generated))
        metrics = jax.tree.map(
            lambda *xs: np.concatenate([np.asarray(x) for x in xs])[:num], *parts
        )
        return metrics, answers[:num]

    def _asked(
        self, chunks: Sequence[Sequence[data.Episode]], generates: bool
    ) -> Iterator[Asked]:
        num_queries = self.source.sizes.num_queries
        buckets = coarse_buckets(self._prompts)
        for chunk in chunks:
            prompts = (
                data.collate_prompts(chunk, self._prompts, num_queries, buckets)
                if generates
                else None
            )
            yield Asked(self.source.collate(chunk), prompts)

    def _answers(
        self, chunk: Sequence[data.Episode], generated: Any
    ) -> list[list[dict[str, Any]]]:
        """Records of each episode, a query each."""
        return [
            self.task.decode(
                [
                    (self._model.text(*said), score)
                    for *said, score in list(zip(*own, strict=True))[: len(e.query)]
                ],
                [],
            )
            for e, own in zip(chunk, zip(*generated, strict=True), strict=True)
        ]
