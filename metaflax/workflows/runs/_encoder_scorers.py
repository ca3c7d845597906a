"""Scorers of encoders below a head: by logits of texts, and by tokens.

If no part of the encoder adapts, each text is encoded once for all episodes, which
does not change predictions.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from metaflax import base, data, evaluation, models, target_kinds, tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_algorithm, build_head
from metaflax.data.batching._features import collate_features
from metaflax.evaluation._stages import rows_of_outputs
from metaflax.target_kinds._base import EvaluatedQueries
from metaflax.tree._paths import is_empty
from metaflax.workflows.runs._embedder import embedder, token_embedder
from metaflax.workflows.runs._episode_texts import EncodedTexts
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._scorer import Chunk, EpisodeResult, Scorer, chunks_of
from metaflax.workflows.runs._shape_groups import collated, grouped_chunks
from metaflax.workflows.runs._staged_scorer import StagedScorer
from metaflax.workflows.runs._token_outputs import reading

# Largest size of the features of all tokens, in bytes.
MAX_FEATURE_BYTES = 2**30


def reading_features(encoder: models.Encoder) -> models.Encoder:
    """Returns an encoder whose inputs are its features."""
    return encoder._replace(apply=lambda params, features, key=None: features)


def is_independent(encoder: models.Encoder) -> bool:
    """Returns whether an encoder promises that features of texts are independent."""
    apply = encoder.apply
    return isinstance(apply, base.StagedApply) and apply.examples_independent


class LogitScorer:
    """Scores queries by the logits or numbers that a head computes for texts."""

    embedder = staticmethod(embedder)
    max_feature_bytes: int | None = None
    by_stages = True

    def __init__(
        self,
        config: AlgorithmConfig,
        model: LoadedModel,
        task: tasks.TaskType,
        episodes: Episodes,
    ):
        self.task, self.model, self.source = task, model, episodes
        self._config = config
        self.algorithm = self._build(model.encoder)
        self.adapting = model.compact(self.algorithm)
        self._embed = None

    def _build(self, encoder: models.Encoder) -> base.MetaAlgorithm:
        return build_algorithm(
            self._config,
            encoder,
            self.model.init,
            self.task,
            self.source.sizes.num_classes,
            num_steps=self._config.eval_num_steps,
        )

    def prepared(self, episodes: Sequence[data.Episode]) -> Scorer:
        """Chooses how episodes are scored.

        If the encoder does not adapt, each text is encoded once. If it adapts and
        encodes queries independently, adaptation and prediction are separate programs.
        """
        encoder, texts = self.model.encoder, self.source.texts
        scored = self.adapting
        if isinstance(texts, EncodedTexts):  # Other texts have choices.
            params, adapted, inputs = self._shapes(episodes[:1])
            if is_empty(adapted["encoder"]) and self._fits(texts.tokenized):
                self._embed = self.embedder(self.model)
                used = [np.concatenate([e.fitted.rows, e.query]) for e in episodes]
                self._used = np.unique(np.concatenate(used))
                scored = self._build(reading_features(encoder))
            elif self.by_stages and is_independent(encoder):
                rows = rows_of_outputs(self.algorithm, params, adapted, inputs)
                return StagedScorer(self, self.task, texts.tokenized, rows)
        if self._embed is None:
            self.source = self.source._replace(texts=texts.closely_padded())
        self._score = evaluation.scorer(
            scored,
            self.task.loss,
            self.task.metrics,
            transductive=self._is_transductive,
        )
        return self

    def _shapes(self, episodes: Sequence[data.Episode]) -> tuple[Any, Any, Any]:
        """Shapes of meta-parameters, of what a task adapts, and of queries."""
        task = jax.tree.map(lambda leaf: leaf[0], self.source.collate(episodes))
        params = jax.eval_shape(self.algorithm.init, jax.random.key(0))
        adapted, _ = jax.eval_shape(self.algorithm.adapt, params, task.support)
        return params, adapted, task.query.inputs._replace(packed=None)

    def _fits(self, tokenized: data.TokenizedTexts) -> bool:
        """Returns whether the features of all texts fit into memory."""
        if self.max_feature_bytes is None:
            return True
        features = len(tokenized.flat) * self.model.encoder.num_features
        size = features * np.dtype(np.float32).itemsize
        return size <= self.max_feature_bytes

    @property
    def _is_transductive(self) -> bool:
        """True if the head also learns from the queries, without their labels."""
        num_features = self.model.encoder.num_features
        num_classes = self.source.sizes.num_classes
        head = build_head(self._config, num_features, self.task, num_classes)
        return head.takes_unlabelled

    @property
    def _encoded(self) -> EncodedTexts:
        texts = self.source.texts
        assert isinstance(texts, EncodedTexts)  # `prepared` checks this.
        return texts

    def chunks(self, episodes: Sequence[data.Episode], size: int) -> list[Chunk]:
        """Divides episodes into chunks, of one shape if texts are encoded once."""
        if self._embed is not None:
            return chunks_of(episodes, range(len(episodes)), size)
        return grouped_chunks(episodes, size, self.source.collate, self.algorithm)

    def batches(
        self, params: Any, chunks: Iterable[Chunk], *, complete: bool
    ) -> Iterator[base.Task]:
        """Yields tasks of tokens, or of features that were computed once."""
        del complete  # Nothing is generated.
        if self._embed is None:
            yield from (collated(chunk, self.source.collate) for chunk in chunks)
            return
        tokenized = self._encoded.tokenized
        rows = tokenized.rows_of(self._used)
        features = self._embed(params["encoder"], tokenized, rows)
        for chunk in chunks:
            yield self._on_features(chunk.episodes, features)

    def _on_features(self, chunk: Sequence[data.Episode], features: np.ndarray):
        sizes = self.source.sizes._asdict()
        return collate_features(chunk, features, **sizes)

    def score(self, params: Any, batch: base.Task) -> Any:
        """Computes metrics `[T]` by name, and logits `[T, Q, N]`."""
        return self._score(params, batch)

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """Returns the metrics and logits of an episode."""
        metrics, logits = row
        return EpisodeResult(metrics, logits)

    def report(
        self, episodes: Sequence[data.Episode], scores: evaluation.Scores
    ) -> dict[str, Any]:
        """Returns the report of the target kind."""
        kind, examples = target_kinds.of(self.task), self.source.examples
        assert kind.report is not None  # `target_kinds.of` checks this.
        return kind.report(
            EvaluatedQueries(examples, episodes, scores.logits, self.task.others)
        )

    def samples(
        self,
        episodes: Sequence[data.Episode],
        scores: Mapping[str, evaluation.Scores],
    ) -> list[dict[str, Any]]:
        """Returns no samples, since no texts are generated."""
        return []


class TokenScorer(LogitScorer):
    """Scores queries by predictions that the task type decodes from token logits."""

    embedder = staticmethod(token_embedder)
    max_feature_bytes = MAX_FEATURE_BYTES
    by_stages = False  # Predictions of tokens are decoded as one array.

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """Decodes the predictions of an episode and scores them on the host."""
        level = self.task.tokens
        assert level is not None
        metrics, logits = row
        predictions = self._decoded(episode, logits)
        scores = level.score(predictions, self._references(episode))
        return EpisodeResult({**metrics, **scores}, predictions=predictions)

    def report(
        self, episodes: Sequence[data.Episode], scores: evaluation.Scores
    ) -> dict[str, Any]:
        """Returns the task type's report over all queries."""
        level = self.task.tokens
        assert level is not None
        assert scores.answers is not None
        references = [row for e in episodes for row in self._references(e)]
        predictions = [row for rows in scores.answers for row in rows]
        return level.report(predictions, references)

    def _decoded(self, episode: data.Episode, logits: np.ndarray) -> list[Any]:
        source = self.source
        drawn = self._drawn(episode)
        names = [*drawn, *[""] * (source.sizes.num_classes - len(drawn))]
        outputs = reading(
            source.examples.texts, episode.query, self._encoded.tokenized, logits
        )
        return self.task.decode(outputs, [*self.task.classes(names), *self.task.others])

    def _references(self, episode: data.Episode) -> list[Any]:
        """Returns the targets of an episode's queries, restricted to its classes."""
        level, targets = self.task.tokens, self.source.examples.targets
        assert level is not None
        assert targets is not None
        drawn = self._drawn(episode)
        return [level.restrict(targets[number], drawn) for number in episode.query]

    def _drawn(self, episode: data.Episode) -> list[str]:
        return [self.source.examples.label_names[n] for n in episode.classes]

    def _on_features(self, chunk: Sequence[data.Episode], features: np.ndarray):
        """Makes tasks of features of tokens, looked up in `[tokens, D]`."""
        tokenized = self._encoded.tokenized
        places = np.arange(len(tokenized.flat), dtype=np.int32)
        numbered = dataclasses.replace(tokenized, flat=places)
        texts = dataclasses.replace(self._encoded, tokenized=numbered)
        task = self.source._replace(texts=texts).collate(chunk)

        def looked_up(batch: base.Batch) -> base.Batch:
            rows = features[batch.inputs.ids]  # [T, S, L, D]
            return batch._replace(inputs=rows * batch.inputs.mask[..., None])

        return base.Task(looked_up(task.support), looked_up(task.query))
