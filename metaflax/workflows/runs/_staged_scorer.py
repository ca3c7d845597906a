"""Scores of episodes for encoders that adapt, in two stages.

Adaptation and prediction are separate programs: support sets have few shapes with
little padding; queries are predicted in batches of similar length, so that any number
of them fits into memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, data, tasks
from metaflax.data.batching._batching import _rows, _targets, _tokens, _weights
from metaflax.data.batching._few_shapes import Shape, few_shapes
from metaflax.evaluation._stages import in_order, stages
from metaflax.models import Tokens
from metaflax.workflows.runs._buckets import coarse_buckets
from metaflax.workflows.runs._scorer import Chunk, EpisodeResult, Scorer, chunks_of

# Approximate number of query tokens per call of prediction.
QUERY_TOKENS = 2048
# Largest number of compiled shapes of support sets, and of batches of queries.
MOST_SHAPES = 4
# Cost of a compilation, in tokens of an inner step and of prediction.
ADAPTED_PER_COMPILATION, PREDICTED_PER_COMPILATION = 2**14, 2**15


class Queries(NamedTuple):
    """Batches of the queries of T episodes, by decreasing length.

    Attributes:
      order: `[T, Q]`, indices of queries in their episode, the longest text first; Q
        for padding.
      rows: `[T, Q]`, indices of their texts, -1 for padding.
      starts: index of the first query of each batch.
      sizes: size that each batch needs.
    """

    order: np.ndarray
    rows: np.ndarray
    starts: Sequence[int]
    sizes: Sequence[Shape]


class Padded(NamedTuple):
    """Shapes that a chunk is padded to.

    Attributes:
      support: shape of its support sets.
      queries: batches of its queries.
      shapes: shape of each batch of queries.
    """

    support: Shape
    queries: Queries
    shapes: Sequence[Shape]


class StagedBatch(NamedTuple):
    """Arrays of T episodes.

    Attributes:
      support: leaves `[T, S, ...]`.
      queries: batches of queries, leaves `[T, B, ...]`.
      places: `[T, B]` for each batch, indices of its queries in their episode.
    """

    support: base.Batch
    queries: list[Tokens]
    places: list[np.ndarray]


class StagedScorer:
    """Adapts to support sets of few shapes, and predicts queries in batches.

    Args:
      whole: scorer of tasks in one stage.
      task: the task type.
      tokenized: tokens of all texts.
      has_rows: whether each leaf of predictions has an axis of queries.
    """

    def __init__(
        self,
        whole: Scorer,
        task: tasks.TaskType,
        tokenized: data.TokenizedTexts,
        has_rows: Sequence[bool],
    ):
        self.source, self.algorithm = whole.source, whole.algorithm
        self.adapting = whole.adapting
        self.report, self.samples = whole.report, whole.samples
        self._stages = stages(self.adapting, task.loss, task.metrics)
        self._has_rows = has_rows
        # Each sequence of a row is padded to the longest one.
        parts = tokenized.num_parts
        self._tokenized, self._lengths = tokenized, parts * tokenized.widths
        self._padded_lengths = [parts * n for n in coarse_buckets(tokenized).lengths]

    def prepared(self, episodes: Sequence[data.Episode]) -> "StagedScorer":
        """Returns the scorer itself, since the encoder adapts."""
        del episodes
        return self

    def chunks(self, episodes: Sequence[data.Episode], size: int) -> list[Chunk]:
        """Divides episodes into chunks whose support sets have the same shape.

        On CPU a chunk is a single episode, since several would be adapted one by one.
        """
        size = 1 if jax.default_backend() == "cpu" else size
        inner = self.algorithm.inner
        num_steps = max(1, 0 if inner is None else inner.num_steps)
        sizes = [self._size(episode.fitted.rows) for episode in episodes]
        shapes = self._shapes(sizes, ADAPTED_PER_COMPILATION / num_steps)
        numbers: dict[Shape, list[int]] = {}
        for number, shape in enumerate(shapes):
            numbers.setdefault(shape, []).append(number)
        chunks = [
            chunk
            for shape, alike in numbers.items()
            for chunk in chunks_of(episodes, alike, size, shape)
        ]
        queries = [self._queries(chunk.episodes) for chunk in chunks]
        sizes = [size for each in queries for size in each.sizes]
        rest = iter(self._shapes(sizes, PREDICTED_PER_COMPILATION))
        return [
            chunk._replace(
                shape=Padded(chunk.shape, each, [next(rest) for _ in each.sizes])
            )
            for chunk, each in zip(chunks, queries, strict=True)
        ]

    def _shapes(self, sizes: Sequence[Shape], compilation: float) -> list[Shape]:
        lengths = self._padded_lengths
        return few_shapes(sizes, lengths, most=MOST_SHAPES, compilation=compilation)

    def _size(self, texts: np.ndarray) -> Shape:
        lengths = self._lengths[texts]
        return Shape(len(lengths), int(lengths.max()), int(lengths.sum()))

    def _queries(self, episodes: Sequence[data.Episode]) -> Queries:
        """Divides queries into batches of about the same number of tokens."""
        parts = [episode.query for episode in episodes]
        rows = _rows(parts, max(map(len, parts)), "queries")
        lengths = np.where(rows >= 0, self._lengths[rows], 0)  # [T, Q]
        order = np.argsort(-lengths, axis=1, kind="stable")
        rows = np.take_along_axis(rows, order, axis=1)
        # The longest n-th text over episodes, so that the batches of each episode fit.
        falling = np.take_along_axis(lengths, order, axis=1).max(axis=0)
        total = falling.cumsum()
        num = -(-int(total[-1]) // QUERY_TOKENS)
        batch_of = (total - falling) * num // total[-1]
        starts = np.flatnonzero(np.diff(batch_of, prepend=-1)).tolist()
        sizes = [
            Shape(len(part), int(part.max()), int(part.sum()))
            for part in np.split(falling, starts[1:])
        ]
        order = np.where(rows >= 0, order, self.source.sizes.num_queries)
        return Queries(order, rows, starts, sizes)

    def batches(
        self, params: Any, chunks: Iterable[Chunk], *, complete: bool
    ) -> Iterator[StagedBatch]:
        """Yields the arrays of each chunk."""
        del params, complete  # Nothing is encoded in advance or generated.
        for chunk in chunks:
            support = self._support(chunk.episodes, chunk.shape.support)
            tokens, places = self._query_batches(chunk.shape)
            yield StagedBatch(support, tokens, places)

    def _support(self, episodes: Sequence[data.Episode], shape: Shape) -> base.Batch:
        fitted = [episode.fitted for episode in episodes]
        rows = _rows([x.rows for x in fitted], shape.num_rows, "support examples")
        targets = [x.targets for x in fitted]
        return base.Batch(
            inputs=self._tokens(rows, shape),
            targets=_targets(targets, shape.num_rows, self.source.sizes.num_classes),
            weights=_weights(rows, [x.weights for x in fitted]),
        )

    def _query_batches(self, padded: Padded) -> tuple[list[Tokens], list[np.ndarray]]:
        """Pads each batch of queries, and the indices of its queries, to its shape."""
        order, rows, starts, _ = padded.queries
        tokens, places = [], []
        for part, place, shape in zip(
            np.split(rows, starts[1:], axis=1),
            np.split(order, starts[1:], axis=1),
            padded.shapes,
            strict=True,
        ):
            width = (0, 0), (0, shape.num_rows - part.shape[1])
            nowhere = self.source.sizes.num_queries
            tokens.append(self._tokens(np.pad(part, width, constant_values=-1), shape))
            places.append(np.pad(place, width, constant_values=nowhere))
        return tokens, places

    def _tokens(self, rows: np.ndarray, shape: Shape) -> Tokens:
        length = shape.length // self._tokenized.num_parts
        return _tokens(self._tokenized, rows, length, shape.num_tokens)

    def score(self, params: Any, batch: StagedBatch) -> Any:
        """Predicts each batch of queries, `[T, B, ...]`; also returns their indices."""
        adapted = self._stages.adapt(params, batch.support)
        outputs = [self._stages.predict(params, adapted, x) for x in batch.queries]
        return outputs, batch.places

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """Puts the predictions of an episode in order and scores them."""
        outputs, places = row
        sizes = self.source.sizes
        outputs = in_order(outputs, places, sizes.num_queries, self._has_rows)
        targets = _targets(
            [episode.query_targets], sizes.num_queries, sizes.num_classes
        )
        counts = np.arange(sizes.num_queries) < len(episode.query)
        scores = self._stages.score(outputs, targets[0], counts.astype(np.float32))
        logits = getattr(outputs, "logits", outputs)
        return EpisodeResult(jax.tree.map(np.asarray, scores), logits)
