"""The interface of what scores episodes: by logits, by tokens, by generated texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from metaflax import base, data, evaluation
from metaflax.workflows.runs._episodes import Episodes


class EpisodeResult(NamedTuple):
    """The result of one episode, on the host.

    Attributes:
      metrics: numbers by name, `loss` among them.
      outputs: logits `[Q, N]`, padding included; None where they were decoded.
      predictions: the decoded prediction of each query; None where outputs suffice.
    """

    metrics: Mapping[str, Any]
    outputs: Any = None
    predictions: Sequence[Mapping[str, Any]] | None = None


class Chunk(NamedTuple):
    """Episodes that are scored in one call, of one shape.

    Attributes:
      numbers: their places in the list of all episodes.
      episodes: these, filled up to the size of a call with copies of the last one.
      shape: what their support sets are padded to; None for the largest of all.
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

    The last one is filled up, so that it needs no compilation of its own.
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
      source: where the episodes are drawn from.
      algorithm: what adapts.
      adapting: the same as it is run on tokens.
    """

    source: Episodes
    algorithm: base.MetaAlgorithm
    adapting: base.MetaAlgorithm

    def prepared(self, episodes: Sequence[data.Episode]) -> "Scorer":
        """The scorer of these episodes; it may encode each of their texts once."""
        ...

    def chunks(self, episodes: Sequence[data.Episode], size: int) -> list[Chunk]:
        """Divides episodes into chunks of at most `size`."""
        ...

    def batches(
        self, params: Any, chunks: Iterable[Chunk], *, complete: bool
    ) -> Iterator[Any]:
        """Host arrays of each chunk; not `complete` leaves out what is generated."""
        ...

    def score(self, params: Any, batch: Any) -> Any:
        """Device arrays of a chunk's results, with a leading axis of episodes."""
        ...

    def result(self, episode: data.Episode, row: Any) -> EpisodeResult:
        """The result of an episode from its row of `score`, on the host."""
        ...

    def report(
        self, episodes: Sequence[data.Episode], scores: evaluation.Scores
    ) -> dict[str, Any]:
        """Scores over all queries together."""
        ...

    def samples(
        self,
        episodes: Sequence[data.Episode],
        scores: Mapping[str, evaluation.Scores],
    ) -> list[dict[str, Any]]:
        """Predictions of several methods beside the references."""
        ...
