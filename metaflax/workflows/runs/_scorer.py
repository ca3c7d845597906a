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

    def batches(
        self, params: Any, chunks: Iterable[Sequence[data.Episode]], *, complete: bool
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
