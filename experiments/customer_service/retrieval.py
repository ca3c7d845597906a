"""Reply retrieval as episodes, and ranks of the gold reply."""

from collections.abc import Sequence

import numpy as np

from metaflax import data


def by_domain(examples: data.Examples) -> data.FixedEpisodes:
    """Builds an episode per domain: all its replies, and the context of each."""
    domains = np.array(examples.domains)
    names = {name: n for n, name in enumerate(examples.label_names)}

    def of_domain(number: int) -> data.Episode:
        rows = np.flatnonzero(domains == examples.domain_names[number])
        before, replied = rows[::2].astype(np.int32), rows[1::2].astype(np.int32)
        local = np.arange(len(before), dtype=np.int32)
        return data.Episode(
            classes=tuple(names[examples.labels[row][0]] for row in before),
            domain=number,
            support=replied,
            support_targets=local,
            query=before,
            query_targets=local,
        )

    numbers = range(len(examples.domain_names))
    return data.FixedEpisodes(examples, tuple(map(of_domain, numbers)))


def ranks_of(
    episodes: data.FixedEpisodes, logits: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """Computes the rank of the gold reply of every query, 1 for the first, `[U]`.

    Among replies with equal scores the gold reply is ranked last.
    """
    ranks = []
    for episode, episode_logits in zip(episodes.episodes, logits, strict=True):
        scores = episode_logits[: len(episode.query), : len(episode.classes)]
        right = scores[np.arange(len(scores)), episode.query_targets]
        ranks.append((scores >= right[:, None]).sum(axis=1))
    return np.concatenate(ranks)
