"""Scorer of generative models by generated texts."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from metaflax import base, data, evaluation, metrics, tasks, tree
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_algorithm
from metaflax.data.batching._seq2seq_batches import collate_candidates, collate_prompts
from metaflax.data.batching._seq2seq_tokens import PairLayout
from metaflax.evaluation._generated import GenerationBatch, generating_scorer
from metaflax.models.generation._decoding import DecodingConfig
from metaflax.tasks._text_level import recall_name
from metaflax.workflows.runs._buckets import close_buckets
from metaflax.workflows.runs._episode_texts import PromptedTexts
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._scorer import Chunk, EpisodeResult
from metaflax.workflows.runs._shape_groups import collated, grouped_chunks


def adapted_generator(
    model: LoadedModel, layout: PairLayout, decoding: DecodingConfig
) -> Callable[[Any, Any, Any], Any]:
    """Returns `generated = generate(params, adapted, prompts)`.

    Adaptation changes the weights, or provides a context for each prompt.
    """
    plain = model.generator(layout, decoding)

    def generate(params: Any, adapted: Any, prompts: Any) -> Any:
        weights = tree.merge(adapted["encoder"], params["encoder"])
        if "context" not in adapted:
            return plain(weights, prompts)
        return model.generator(layout, decoding, adapted["context"])(weights, prompts)

    return generate


class TextScorer:
    """Scores references by their likelihood, and generated texts by the task type."""

    def __init__(
        self,
        config: AlgorithmConfig,
        model: LoadedModel,
        task: tasks.TaskType,
        episodes: Episodes,
        decoding: DecodingConfig,
    ):
        assert task.texts is not None
        assert isinstance(episodes.texts, PromptedTexts)
        pairs, texts = episodes.texts.pairs, episodes.texts.closely_padded()
        self.task, self.source = task, episodes._replace(texts=texts)
        self._level, self._model, self._pairs = task.texts, model, pairs
        self.algorithm = self.adapting = build_algorithm(
            config,
            model.encoder,
            model.init,
            task,
            episodes.sizes.num_classes,
            num_steps=config.eval_num_steps,
        )
        self._score = generating_scorer(
            self.algorithm,
            task.loss,
            task.metrics,
            adapted_generator(model, pairs.layout, decoding),
        )

    def prepared(self, episodes: Sequence[data.Episode]) -> "TextScorer":
        """Returns the scorer itself, since all of the network may adapt."""
        del episodes
        return self

    def chunks(self, episodes: Sequence[data.Episode], size: int) -> list[Chunk]:
        """Divides episodes into chunks of few shapes, each with compiled programs."""
        return grouped_chunks(episodes, size, self._collate, self.algorithm)

    def batches(
        self, params: Any, chunks: Iterable[Chunk], *, complete: bool
    ) -> Iterator[GenerationBatch]:
        """Yields tasks, and if `complete` also prompts and candidates for retrieval."""
        del params
        collate = functools.partial(self._collate, complete=complete)
        yield from (collated(chunk, collate) for chunk in chunks)

    def _collate(
        self, episodes: Sequence[data.Episode], complete: bool = True
    ) -> GenerationBatch:
        batch = GenerationBatch(self.source.collate(episodes))
        if complete and self._level.generation_scores:
            batch = batch._replace(prompts=self._prompts(episodes))
        if complete and self._level.recalls:
            batch = batch._replace(candidates=self._candidates(episodes))
        return batch

    def score(self, params: Any, batch: GenerationBatch) -> Any:
        """Computes a `Generation` with leaves `[T, ...]`."""
        return self._score(params, batch)

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """Scores the generated texts of an episode on the host."""
        scores: dict[str, Any] = dict(row.scores)
        predictions = None
        if row.generated is not None:
            predictions = self._decoded(episode, row.generated)
            texts = [record["generated"] for record in predictions]
            scores |= self._level.score(texts, self._references(episode))
        if row.likelihoods is not None:
            scores |= self._recalls(episode, row.likelihoods)
        return EpisodeResult(scores, predictions=predictions)

    def report(
        self, episodes: Sequence[data.Episode], scores: evaluation.Scores
    ) -> dict[str, Any]:
        """Returns the mean metrics over the episodes of each domain."""
        names = self.source.examples.domain_names or ("all",)
        domains = np.array([episode.domain or 0 for episode in episodes])
        columns = {name: scores.metrics[name] for name in self.task.scores}
        return {
            name: {
                **{m: float(np.mean(x[domains == n])) for m, x in columns.items()},
                "support": int(np.sum(domains == n)),
            }
            for n, name in enumerate(names)
            if np.any(domains == n)
        }

    def samples(
        self,
        episodes: Sequence[data.Episode],
        scores: Mapping[str, evaluation.Scores],
        per_domain: int = 2,
    ) -> list[dict[str, Any]]:
        """Returns generated texts of several methods with the references.

        Args:
          episodes: the evaluated episodes.
          scores: scores by method, with generated texts.
          per_domain: number of episodes per domain.

        Returns:
          A record per query: domain, text, reference, and each method's text.
        """
        examples, seen, records = self.source.examples, Counter[int](), []
        for number, episode in enumerate(episodes):
            domain = episode.domain or 0
            seen[domain] += 1
            if seen[domain] > per_domain:
                continue
            for query, reference in enumerate(self._references(episode)):
                generated = {
                    method: of_method.answers[number][query]["generated"]
                    for method, of_method in scores.items()
                    if of_method.answers is not None
                }
                records.append(
                    {
                        "domain": (examples.domain_names or ("all",))[domain],
                        "text": examples.texts[episode.query[query]],
                        "target": reference,
                        "said": generated,
                    }
                )
        return records

    def _references(self, episode: data.Episode) -> list[str]:
        targets = self.source.examples.targets
        assert targets is not None
        return [targets[number] for number in episode.query]

    def _prompts(self, chunk: Sequence[data.Episode]) -> Any:
        prompts, num_queries = self._pairs.prompts, self.source.sizes.num_queries
        return collate_prompts(chunk, prompts, num_queries, close_buckets(prompts))

    def _candidates(self, chunk: Sequence[data.Episode]) -> base.Batch:
        pairs, num_queries = self._pairs, self.source.sizes.num_queries
        # The longest reference is scored after the longest prompt.
        longest = pairs.layout.max_source_length + pairs.layout.max_target_length
        lengths = (*(n for n in (32, 64, 128, 256) if n < longest), longest)
        buckets = data.Buckets(lengths, budget_ratio=2.0)
        return collate_candidates(chunk, pairs, num_queries, buckets)

    def _decoded(self, episode: data.Episode, generated: Any) -> list[dict[str, Any]]:
        rows = list(zip(*generated, strict=True))[: len(episode.query)]
        texts = [(self._model.text(ids, mask), score) for ids, mask, score in rows]
        return self.task.decode(texts, [])

    def _recalls(self, episode: data.Episode, likelihoods: Any) -> dict[str, float]:
        """Computes how often the reference is among the k likeliest candidates."""
        num = len(episode.query)
        return {
            recall_name(k): metrics.recall_at(
                likelihoods[:num, :num], np.arange(num), k
            )
            for k in self._level.recalls
        }
