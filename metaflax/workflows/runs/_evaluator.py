"""Scoring a model on a fixed list of episodes."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from metaflax import base, data, evaluation, models, tasks, tree
from metaflax.config import AlgorithmConfig, build_algorithm
from metaflax.workflows.runs._encoder_model import (
    Model,
    embedder,
    on_words_read,
    token_embedder,
)
from metaflax.workflows.runs._episodes import Episodes, coarsest_buckets
from metaflax.workflows.runs._token_outputs import reading

# Bytes of memory for the features of all tokens, at most.
MOST_FEATURES = 2**30


def finite_means(scores: evaluation.Scores) -> dict[str, float]:
    """The mean of each metric.

    Raises:
      ValueError: if a loss is not finite.
    """
    means = {name: float(np.mean(x)) for name, x in scores.metrics.items()}
    if not math.isfinite(means["loss"]):
        bad = int(np.flatnonzero(~np.isfinite(scores.metrics["loss"]))[0])
        raise ValueError(
            f"the query loss of evaluation episode {bad} is not finite; lower the"
            " inner learning rate."
        )
    return means


class Evaluator:
    """Adapts to each of a fixed list of episodes, and scores its queries.

    Where no part of the encoder adapts, each text is encoded once, however many
    episodes it occurs in; that changes no answer. Features of tokens must fit into a
    gibibyte for it.

    Args:
      config: of the algorithm.
      model: encoder and weights.
      task: gives loss and metrics.
      episodes: where they are drawn from.
      seed: draws them.
      num_episodes: how many.
      batch_episodes: how many are scored in one call.
    """

    def __init__(
        self,
        config: AlgorithmConfig,
        model: Model,
        task: tasks.TaskType,
        episodes: Episodes,
        *,
        seed: int,
        num_episodes: int,
        batch_episodes: int = 10,
    ):
        if num_episodes < 1:
            raise ValueError(f"there must be an episode, got {num_episodes}.")
        self.source = episodes
        self.task = task
        self.episodes = data.fixed_list(episodes.sampler, seed, num_episodes)
        self._batch = min(batch_episodes, num_episodes)

        def build(encoder):
            return build_algorithm(
                config,
                encoder,
                model.init,
                task,
                episodes.sizes.num_classes,
                num_steps=config.eval_num_steps,
            )

        self.algorithm = build(model.encoder)
        if self.algorithm.inner is not None and self.algorithm.inner.num_steps:
            buckets = coarsest_buckets(episodes.tokenized)
            self.source = episodes._replace(buckets=buckets)
        self._embed = None
        if self._shares_encoder(model.encoder.num_features):
            make = embedder if task.tokens is None else token_embedder
            self._embed = make(model)
            on_features = models.Encoder(
                model.encoder.init,
                lambda params, features, key=None: features,
                model.encoder.num_features,
            )
            scored = build(on_features)
        else:
            scored = on_words_read(self.algorithm)
        self._score = evaluation.scorer(scored, task.loss, task.metrics)

    def _shares_encoder(self, num_features: int) -> bool:
        num_tokens = len(self.source.tokenized.flat)
        wanted = num_tokens * num_features * np.dtype(np.float32).itemsize
        if self.task.tokens is not None and wanted > MOST_FEATURES:
            return False
        support = self.source.collate(self.episodes[:1]).support
        params = jax.eval_shape(self.algorithm.init, jax.random.key(0))
        adapted = jax.eval_shape(
            lambda params, support: self.algorithm.adapt(params, support)[0],
            params,
            jax.tree.map(lambda x: x[0], support),
        )
        return tree.is_empty(adapted["encoder"])

    def __call__(self, params: Any) -> evaluation.Scores:
        """The scores of all episodes, in order."""
        num = len(self.episodes)
        chunks = [
            self.episodes[i : i + self._batch] for i in range(0, num, self._batch)
        ]
        # The last chunk is filled up, so that it needs no compilation of its own.
        chunks[-1] = chunks[-1] + chunks[-1][-1:] * (self._batch - len(chunks[-1]))
        batches = data.prefetch(self._batches(params, chunks))
        if self.task.tokens is not None:
            return self._judged(self.task.tokens, params, batches, chunks)
        scores = evaluation.evaluate(self._score, params, batches)
        return jax.tree.map(lambda x: x[:num], scores)

    def _judged(self, level, params, batches, chunks) -> evaluation.Scores:
        """Scores of answers, which are made on the host while the device goes on."""
        losses, answers = [], []

        def judge(chunk, found):
            metrics, logits = jax.tree.map(np.asarray, found)
            losses.append(metrics["loss"])
            answers.extend(map(self._answers, chunk, logits))

        waiting: list[tuple] = []
        for chunk, batch in zip(chunks, batches, strict=True):
            waiting.append((chunk, self._score(params, batch)))
            if len(waiting) > 1:
                judge(*waiting.pop(0))
        judge(*waiting.pop())
        answers = answers[: len(self.episodes)]
        judged = [
            level.judge(said, self._asked(episode))
            for said, episode in zip(answers, self.episodes, strict=True)
        ]
        metrics = {name: np.array([j[name] for j in judged]) for name in level.scores}
        loss = np.concatenate(losses)[: len(self.episodes)]
        return evaluation.Scores({"loss": loss, **metrics}, None, answers)

    def _answers(self, episode: data.Episode, logits: np.ndarray) -> list[Any]:
        """What is answered to each query of an episode."""
        source = self.source
        drawn = self._drawn(episode)
        names = [*drawn, *[""] * (source.sizes.num_classes - len(drawn))]
        read = reading(source.examples.texts, episode.query, source.tokenized, logits)
        return self.task.decode(read, [*self.task.classes(names), *self.task.others])

    def _asked(self, episode: data.Episode) -> list[Any]:
        """What is right for each query of an episode."""
        level, targets = self.task.tokens, self.source.examples.targets
        assert level is not None
        assert targets is not None
        drawn = self._drawn(episode)
        return [level.asked(targets[number], drawn) for number in episode.query]

    def _drawn(self, episode: data.Episode) -> list[str]:
        return [self.source.examples.label_names[n] for n in episode.classes]

    def _batches(self, params, chunks):
        if self._embed is None:
            yield from map(self.source.collate, chunks)
            return
        used = np.unique(
            np.concatenate(
                [np.concatenate([e.support, e.query]) for e in self.episodes]
            )
        )
        tokenized = self.source.tokenized
        rows = tokenized.rows_of(used)
        features = self._embed(params["encoder"], tokenized, rows)
        for chunk in chunks:
            if self.task.tokens is None:
                sizes = self.source.sizes._asdict()
                yield data.collate_features(chunk, features, **sizes)
            else:
                yield self._on_token_features(chunk, features)

    def _on_token_features(self, chunk, features: np.ndarray) -> base.Task:
        """A stack of episodes, of each token its feature out of `[tokens, D]`."""
        tokenized = self.source.tokenized
        places = np.arange(len(tokenized.flat), dtype=np.int32)
        numbered = dataclasses.replace(tokenized, flat=places)
        task = self.source._replace(tokenized=numbered).collate(chunk)

        def looked_up(batch: base.Batch) -> base.Batch:
            found = features[batch.inputs.ids]  # [T, S, L, D]
            return batch._replace(inputs=found * batch.inputs.mask[..., None])

        return base.Task(looked_up(task.support), looked_up(task.query))

    def mean(self, params: Any) -> dict[str, float]:
        """The mean of each metric."""
        return finite_means(self(params))

    def report(self, scores: evaluation.Scores) -> dict[str, Any]:
        """What is said of all queries together, class by class or by domain."""
        if self.task.tokens is not None and scores.answers is not None:
            true = [asked for e in self.episodes for asked in self._asked(e)]
            said = [answer for answers in scores.answers for answer in answers]
            return self.task.tokens.report(said, true)
        reports = {
            "classes": self._class_report,
            "labels": self._label_report,
            "numbers": self._number_report,
        }
        return reports[self.task.kind](scores)

    def answered(
        self, scores: evaluation.Scores
    ) -> list[evaluation.EpisodePredictions]:
        """What was answered in each episode, where each text has one class."""
        others, found = self.task.others, []
        for episode, logits in zip(self.episodes, scores.logits, strict=True):
            drawn = self._drawn(episode)
            room = logits.shape[-1] - len(others)
            # In the order of logits; another answer than the drawn ones is -1 too.
            answers = [*drawn, *[""] * (room - len(drawn)), *others]
            best = logits[: len(episode.query)].argmax(axis=-1)
            true = [answers[i] for i in episode.query_targets]
            said = [answers[i] for i in best]
            found.append(evaluation.EpisodePredictions(true, said, [*drawn, *others]))
        return found

    def judged(
        self, scores: evaluation.Scores
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Of each episode logits `[Q, N]` and their true places `[Q]`, likewise."""
        pairs = zip(self.episodes, scores.logits, strict=True)
        logits = [own[: len(episode.query)] for episode, own in pairs]
        # Another answer than the drawn ones is the last place.
        targets = [e.query_targets % scores.logits.shape[-1] for e in self.episodes]
        return logits, targets

    def _class_report(self, scores: evaluation.Scores) -> dict[str, Any]:
        answered = self.answered(scores)
        return evaluation.classification_report(
            [name for own in answered for name in own.true],
            [name for own in answered for name in own.predicted],
        )

    def _number_report(self, scores: evaluation.Scores) -> dict[str, Any]:
        domains = self.source.examples.domain_names or ("all",)
        counts = [len(episode.query) for episode in self.episodes]
        groups = [
            domains[episode.domain or 0]
            for episode, count in zip(self.episodes, counts, strict=True)
            for _ in range(count)
        ]
        said = [row[:count] for row, count in zip(scores.logits, counts, strict=True)]
        true = [episode.query_targets for episode in self.episodes]
        return evaluation.number_report(
            groups, np.concatenate(true), np.concatenate(said)
        )

    def _label_report(self, scores: evaluation.Scores) -> dict[str, Any]:
        """Each drawn label of each query counts once; labels not drawn do not."""
        names = self.source.examples.label_names
        rows = sum(len(episode.query) for episode in self.episodes)
        true = np.zeros((rows, len(names)), np.int8)
        said = np.zeros_like(true)
        first = 0
        for episode, logits in zip(self.episodes, scores.logits, strict=True):
            here = slice(first, first + len(episode.query))
            classes = list(episode.classes)
            true[here, classes] = episode.query_targets
            said[here, classes] = logits[: len(episode.query), : len(classes)] > 0
            first += len(episode.query)
        return evaluation.label_report(names, true, said)
