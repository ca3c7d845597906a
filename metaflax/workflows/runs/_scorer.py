"""Interface of scorers of episodes: by logits, by tokens, by generated texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from metaflax import base, data, evaluation
from metaflax.workflows.runs._episodes import Episodes


class EpisodeResult(NamedTuple):
    """Result of one episode, on the host.

    Attributes:
      metrics: numbers by name, `loss` among them.
      outputs: logits `[Q, N]`, padding included; None if they were decoded.
      predictions: the decoded prediction of each query; None if `outputs` are set.
    """

    metrics: Mapping[str, Any]
    outputs: Any = None
    predictions: Sequence[Mapping[str, Any]] | None = None


class Chunk(NamedTuple):
    """Episodes that are scored in one call, padded to one shape.

    Attributes:
      numbers: indices of the episodes in the list of all episodes.
      episodes: the episodes, padded to the size of a call with copies of the last one.
      shape: shape that support sets are padded to; None for the largest of all.
    """

    numbers: Sequence[int]
    episodes: Sequence[data.Episode]
    shape: Any = None


def chunks_of(
    episodes: Sequence[data.Episode],
    numbers: Sequence[int],
    size: int,
    shape: Any = None,
) -> list[Chunk]:
    """Divides some of the episodes into chunks of one size.

    The last one is padded, so that it needs no compilation of its own.
    """
    chunks = []
    for first in range(0, len(numbers), size):
        part = [*numbers[first : first + size]]
        filled = part + part[-1:] * (size - len(part))
        chunks.append(Chunk(part, [episodes[n] for n in filled], shape))
    return chunks


class Scorer(Protocol):
    """Scores chunks of episodes.

    Attributes:
      source: source of the episodes.
      algorithm: algorithm that adapts to an episode.
      adapting: the algorithm on tokens.
    """

    source: Episodes
    algorithm: base.MetaAlgorithm
    adapting: base.MetaAlgorithm

    def prepared(self, episodes: Sequence[data.Episode]) -> "Scorer":
        """Returns the scorer for these episodes, which may encode each text once."""
        ...

    def chunks(self, episodes: Sequence[data.Episode], size: int) -> list[Chunk]:
        """Divides episodes into chunks of at most `size`."""
        ...

    def batches(
        self, params: Any, chunks: Iterable[Chunk], *, complete: bool
    ) -> Iterator[Any]:
        """Yields host arrays of each chunk, with prompts if `complete`."""
        ...

    def score(self, params: Any, batch: Any) -> Any:
        """Computes the results of a chunk on the device, with an axis of episodes."""
        ...

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """Returns the result of an episode from its row of `score`, on the host."""
        ...

    def report(
        self, episodes: Sequence[data.Episode], scores: evaluation.Scores
    ) -> dict[str, Any]:
        """Computes scores over all queries together."""
        ...

    def samples(
        self,
        episodes: Sequence[data.Episode],
        scores: Mapping[str, evaluation.Scores],
    ) -> list[dict[str, Any]]:
        """Returns predictions of several methods with the references."""
        ...
