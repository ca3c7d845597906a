"""Selection of the unlabelled texts whose labels would help a classifier most."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

Strategy: TypeAlias = Literal["mix", "uncertainty", "margin", "diversity"]
# The strategy `mix` clusters this many times the requested number of texts, those of
# the smallest margin; the factor of Zhdanov (2019).
PREFILTER = 10


class Selected(NamedTuple):
    """Selected row.

    Attributes:
      row: its index.
      score: score of the strategy, between 0 and 1.
    """

    row: int
    score: float

    def record(self, names: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
        """Returns the prediction and score of the row as a JSON record.

        Args:
          names: names of the N classes.
          probabilities: `[U, N]`, probabilities of all rows.
        """
        shares = probabilities[self.row]
        return {
            "predicted": names[int(np.argmax(shares))],
            "probabilities": {
                name: round(float(share), 6)
                for name, share in zip(names, shares, strict=True)
            },
            "score": round(self.score, 6),
        }


def select(
    probabilities: np.ndarray,
    features: np.ndarray,
    number: int,
    strategy: Strategy = "mix",
    *,
    seed: int = 0,
) -> list[Selected]:
    """Selects unlabelled rows to label next.

    Args:
      probabilities: `[U, N]`, of the classes.
      features: `[U, D]`, feature vectors.
      number: most rows to select.
      strategy: `uncertainty` takes the rows of largest entropy, `margin` those whose
        two largest probabilities are closest, `diversity` the row nearest to the centre
        of each of `number` k-means clusters. `mix` clusters the `10 * number` rows of
        smallest margin, each with its margin score as weight.
      seed: seed of k-means.

    Returns:
      Distinct rows, by decreasing score. The score is the entropy as a share of its
      maximum (`uncertainty`), one less the difference of the two largest probabilities
      (`margin`, `mix`), or the share of all rows that are in the cluster (`diversity`).

    Raises:
      ValueError: for an unknown strategy, or a number below 1.

    Examples:
      >>> shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
      >>> [s.row for s in select(shares, np.eye(3), 2, "margin")]
      [1, 2]

    References:
      Zhdanov, `Diverse mini-batch Active Learning
      <https://arxiv.org/abs/1901.05954>`_, 2019, for the mix.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(
            f"strategy is {strategy!r}; it is {', '.join(get_args(Strategy))}."
        )
    if number < 1:
        raise ValueError(f"number is {number}; give 1 or more.")
    everything = np.arange(len(probabilities))
    if strategy == "diversity":
        rows, scores = _nearest_to_centres(features, number, None, seed)
    elif strategy == "uncertainty":
        rows, scores = everything, entropies(probabilities)
    else:
        rows, scores = everything, margins(probabilities)
        if strategy == "mix" and len(rows) > number:
            likely = np.argsort(-scores, kind="stable")[: PREFILTER * number]
            # A weight of 0 would leave a row out of all clusters.
            weights = np.maximum(scores[likely], 1e-6)
            centres, _ = _nearest_to_centres(features[likely], number, weights, seed)
            rows = likely[centres]
            scores = scores[rows]
    order = np.argsort(-scores, kind="stable")[:number]
    return [Selected(int(rows[i]), float(scores[i])) for i in order]


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Computes the entropy of each row as a share of its maximum, `[U]`."""
    shares = np.clip(probabilities.astype(np.float64), 1e-30, 1.0)
    entropy = -np.sum(shares * np.log(shares), axis=-1)
    return np.clip(entropy / np.log(max(2, probabilities.shape[-1])), 0.0, 1.0)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Computes one less the difference of the two largest of each row, `[U]`."""
    largest = np.sort(probabilities.astype(np.float64), axis=-1)
    second = largest[:, -2] if probabilities.shape[-1] > 1 else 0.0
    return np.clip(1.0 - (largest[:, -1] - second), 0.0, 1.0)


def unit_vectors(features: np.ndarray) -> np.ndarray:
    """Scales rows to length one, in float64."""
    # In float64, since standardisation folded into weights makes features tiny.
    wide = features.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.maximum(lengths, np.finfo(np.float64).tiny)


def _nearest_to_centres(
    features: np.ndarray, number: int, weights: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters rows, and returns the row nearest to each centre and its share.

    Rows with equal features are one point, so that there may be fewer clusters than
    requested; further rows follow with share 0.
    """
    vectors = unit_vectors(features)
    points, first, inverse = np.unique(
        np.round(vectors, 12), axis=0, return_index=True, return_inverse=True
    )
    inverse = inverse.reshape(-1)
    mass = np.bincount(inverse, weights=weights, minlength=len(points))
    if len(points) <= number:
        nearest, shares = first, np.bincount(inverse) / len(vectors)
    else:
        from sklearn.cluster import KMeans  # Takes a second to import.

        make: Any = KMeans  # Its inferred types reject numbers.
        means = make(number, n_init=3, random_state=seed)
        clusters = means.fit_predict(points, sample_weight=mass)
        offsets = points - means.cluster_centers_[clusters]
        order = np.lexsort((np.sum(offsets**2, axis=-1), clusters))
        labels, place = np.unique(clusters[order], return_index=True)
        nearest = first[order[place]]
        sizes = np.bincount(clusters[inverse], minlength=number)
        shares = sizes[labels] / len(vectors)
    others = np.setdiff1d(np.arange(len(vectors)), nearest)[: number - len(nearest)]
    return np.concatenate([nearest, others]), np.pad(shares, (0, len(others)))
