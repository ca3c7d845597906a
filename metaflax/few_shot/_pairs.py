"""Single texts and pairs of texts as inputs of scikit-learn estimators."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin

from metaflax.config._model_settings import PairEncoding
from metaflax.few_shot._estimator import FewShotEstimator, sequence_of


class TextOrPairEstimator(TransformerMixin, FewShotEstimator):
    """Base of the estimators of single texts, or of pairs with a `pair_encoding`."""

    pair_encoding: PairEncoding | None

    def transform(self, X: Any) -> np.ndarray:
        """Encodes texts, for other estimators of a `Pipeline`.

        No `fit` is needed, unless inner steps adapt the encoder.

        Args:
          X: texts, or pairs of texts.

        Returns:
          The features that the output layer takes, `[U, D]`.

        Raises:
          ValueError: for invalid texts or settings, an estimator from `load`, or a
            model that has changed since `fit`.
          NotFittedError: if `fit` is needed.
        """
        return self._features(self._sequence(X))

    def _sequence(self, values: Any) -> list[Any]:
        if self.pair_encoding is not None:
            return pairs_of(values)
        texts = sequence_of(values)
        if texts and isinstance(texts[0], tuple | list) and len(texts[0]) == 2:
            raise ValueError(
                f"X[0] is {texts[0]!r:.40}; give texts, or for pairs of texts a"
                " pair_encoding, such as two_towers."
            )
        return texts

    def _inputs(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        if self.pair_encoding is None:
            return super()._inputs(texts)
        return [{"text": first, "text_pair": second} for first, second in texts]


def pairs_of(values: Any) -> list[tuple[Any, Any]]:
    """Lists pairs of texts.

    Args:
      values: a sequence of pairs, an array `[U, 2]` or a data frame of two columns.

    Returns:
      The pairs, in order.

    Raises:
      ValueError: if a row is not two texts.

    Examples:
      >>> pairs_of(np.array([["it rains", "it is wet"], ["it barks", "it purrs"]]))
      [('it rains', 'it is wet'), ('it barks', 'it purrs')]
    """
    if hasattr(values, "to_numpy"):  # Iterating over a data frame gives its columns.
        values = values.to_numpy()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{values!r:.40} is no sequence; give a list of pairs.")
    pairs = []
    for number, row in enumerate(values):
        texts = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(texts, list | tuple) or len(texts) != 2:
            raise ValueError(
                f"X[{number}] is {texts!r:.40}; with a pair_encoding give two texts a"
                " row."
            )
        pairs.append((texts[0], texts[1]))
    return pairs
