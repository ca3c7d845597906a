"""Lexical ranking of replies: TF-IDF and BM25."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import retrieval

from metaflax import data


def tf_idf(episodes: data.FixedEpisodes) -> list[np.ndarray]:
    """Computes cosines of TF-IDF vectors, `[Q, N]` of each episode."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    results = []
    for outputs, replies in texts_of(episodes):
        weigh = TfidfVectorizer(sublinear_tf=True)
        weighed = weigh.fit_transform(replies)
        results.append((weigh.transform(outputs) @ weighed.T).toarray())
    return results


class Bm25(NamedTuple):
    """Parameters of BM25.

    Attributes:
      k1: saturation of term frequencies.
      b: normalisation by the length of a reply, from 0 to 1.

    References:
      Robertson and Zaragoza, `The Probabilistic Relevance Framework: BM25 and Beyond
      <https://doi.org/10.1561/1500000019>`_, 2009. Departure: one is added below the
      logarithm, so that a word of most replies does not count against them.
    """

    k1: float
    b: float


# The grid includes the usual values: k1 from 1.2 to 2, b of 0.75.
TRIED = tuple(
    itertools.starmap(Bm25, itertools.product((0.5, 1.2, 2.0), (0, 0.4, 0.75)))
)


def bm25(episodes: data.FixedEpisodes, setting: Bm25) -> list[np.ndarray]:
    """Computes BM25 scores of the replies, `[Q, N]` of each episode."""
    from sklearn.feature_extraction.text import CountVectorizer

    results = []
    for outputs, replies in texts_of(episodes):
        count = CountVectorizer()
        counts: Any = count.fit_transform(replies).toarray()  # [N, words]
        occurs = (counts > 0).sum(axis=0)
        rare = np.log(1 + (len(replies) - occurs + 0.5) / (occurs + 0.5))
        length = counts.sum(axis=1, keepdims=True) / counts.sum(axis=1).mean()
        damped = counts + setting.k1 * (1 - setting.b + setting.b * length)
        weighed = rare * counts * (setting.k1 + 1) / damped
        results.append(count.transform(outputs) @ weighed.T)
    return results


def select_bm25(valid: data.FixedEpisodes) -> Bm25:
    """Selects the parameters with the best mean reciprocal rank."""

    def score(setting: Bm25) -> float:
        return (1 / retrieval.ranks_of(valid, bm25(valid, setting))).mean()

    return max(TRIED, key=score)


def texts_of(episodes: data.FixedEpisodes) -> list[tuple[list[str], list[str]]]:
    """Yields contexts and candidate replies of each episode."""
    texts = [str(text) for text in episodes.examples.texts]
    return [
        ([texts[row] for row in e.query], [texts[row] for row in e.support])
        for e in episodes.episodes
    ]
