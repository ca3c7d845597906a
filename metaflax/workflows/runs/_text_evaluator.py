"""Scoring a language model on a fixed list of episodes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from metaflax import base, data, evaluation, metrics, tasks
from metaflax.config import AlgorithmConfig, build_algorithm
from metaflax.workflows.runs._episodes import Episodes, coarse_buckets, coarsest_buckets
from metaflax.workflows.runs._evaluator import finite_means
from metaflax.workflows.runs._language_model import Speaker


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
      repetition_penalty: above 1, against words that a text has said before.

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
        repetition_penalty: float = 1.0,
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
        algorithm = build_algorithm(
            config,
            model.encoder,
            model.init,
            task,
            episodes.sizes.num_classes,
            num_steps=config.eval_num_steps,
        )
        self.algorithm = algorithm
        self._score = evaluation.generating_scorer(
            algorithm,
            task.loss,
            task.metrics,
            model.generator(pairs.speech, num_beams, repetition_penalty),
        )

    def __call__(self, params: Any) -> evaluation.Scores:
        """The scores of all episodes, in order, and what was generated."""
        level = self._level
        rows: list[dict[str, Any]] = []
        answers = []
        for episode, said in self._said(params, asks_for_texts=True):
            row: dict[str, Any] = dict(said.scores)
            if level.judged:
                answers.append(self._answers(episode, said.generated))
                texts = [record["generated"] for record in answers[-1]]
                row |= level.judge(texts, self._true(episode))
            if level.recalls:
                row |= self._recalls(episode, said.likelihoods)
            rows.append(row)
        found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return evaluation.Scores(found, None, answers or None)

    def mean(self, params: Any) -> dict[str, float]:
        """The mean of each metric that can be told without generating."""
        rows = [said.scores for _, said in self._said(params, asks_for_texts=False)]
        found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return finite_means(evaluation.Scores(found, None))

    def report(self, scores: evaluation.Scores) -> dict[str, Any]:
        """The means of each domain's episodes."""
        names = self.source.examples.domain_names or ("all",)
        of_episode = np.array([episode.domain or 0 for episode in self.episodes])
        found = {name: scores.metrics[name] for name in self.task.scores}
        return {
            name: {
                **{m: float(np.mean(x[of_episode == n])) for m, x in found.items()},
                "support": int(np.sum(of_episode == n)),
            }
            for n, name in enumerate(names)
            if np.any(of_episode == n)
        }

    def samples(
        self, scores: Mapping[str, evaluation.Scores], episodes: int = 2
    ) -> list[dict[str, Any]]:
        """What methods said beside what is true, in each domain's first episodes.

        Args:
          scores: by method, of one that has generated.
          episodes: how many of each domain.

        Returns:
          A record a query: its domain and text, what was to be said, and what each
          method said.
        """
        examples, seen, found = self.source.examples, Counter[int](), []
        for number, episode in enumerate(self.episodes):
            domain = episode.domain or 0
            seen[domain] += 1
            if seen[domain] > episodes:
                continue
            for query, true in enumerate(self._true(episode)):
                said = {
                    method: own.answers[number][query]["generated"]
                    for method, own in scores.items()
                    if own.answers is not None
                }
                of = {"domain": (examples.domain_names or ("all",))[domain]}
                text = examples.texts[episode.query[query]]
                found.append({**of, "text": text, "target": true, "said": said})
        return found

    def _true(self, episode: data.Episode) -> list[str]:
        targets = self.source.examples.targets
        assert targets is not None
        return [targets[number] for number in episode.query]

    def _said(
        self, params: Any, *, asks_for_texts: bool
    ) -> Iterator[tuple[data.Episode, evaluation.Said]]:
        """Each episode, and what the model says in it, on the host."""
        num, size = len(self.episodes), self._batch
        chunks = [self.episodes[i : i + size] for i in range(0, num, size)]
        # The last chunk is filled up, so that it needs no compilation of its own.
        full = [*chunks[:-1], chunks[-1] + chunks[-1][-1:] * (size - len(chunks[-1]))]
        batches = data.prefetch(self._asked(full, asks_for_texts))
        for chunk, asked in zip(chunks, batches, strict=True):
            said = jax.tree.map(np.asarray, self._score(params, asked))
            for number, episode in enumerate(chunk):
                yield episode, jax.tree.map(lambda x, n=number: x[n], said)

    def _asked(
        self, chunks: Sequence[Sequence[data.Episode]], asks_for_texts: bool
    ) -> Iterator[evaluation.Asked]:
        for chunk in chunks:
            asked = evaluation.Asked(self.source.collate(chunk))
            if asks_for_texts and self._level.judged:
                asked = asked._replace(prompts=self._prompts_of(chunk))
            if asks_for_texts and self._level.recalls:
                asked = asked._replace(candidates=self._candidates_of(chunk))
            yield asked

    def _prompts_of(self, chunk: Sequence[data.Episode]) -> Any:
        assert self.source.pairs is not None
        prompts, num_queries = self.source.pairs.prompts, self.source.sizes.num_queries
        return data.collate_prompts(
            chunk, prompts, num_queries, coarse_buckets(prompts)
        )

    def _candidates_of(self, chunk: Sequence[data.Episode]) -> base.Batch:
        pairs, num_queries = self.source.pairs, self.source.sizes.num_queries
        assert pairs is not None
        # The longest text may come behind the longest that is read.
        most = pairs.speech.num_read + pairs.speech.num_said
        lengths = (*(n for n in (32, 64, 128, 256) if n < most), most)
        buckets = data.Buckets(lengths, budget_ratio=2.0)
        return data.collate_candidates(chunk, pairs, num_queries, buckets)

    def _answers(self, episode: data.Episode, generated: Any) -> list[dict[str, Any]]:
        """Records of an episode, a query each."""
        said = list(zip(*generated, strict=True))[: len(episode.query)]
        texts = [(self._model.text(ids, mask), score) for ids, mask, score in said]
        return self.task.decode(texts, [])

    def _recalls(self, episode: data.Episode, likelihoods: Any) -> dict[str, float]:
        """How often the true text is among the likeliest of all queries'."""
        num = len(episode.query)
        return {
            tasks.recall_name(k): metrics.recall_at(
                likelihoods[:num, :num], np.arange(num), k
            )
            for k in self._level.recalls
        }
