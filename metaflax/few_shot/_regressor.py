"""Few-shot text regression as a scikit-learn estimator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from metaflax import data
from metaflax.config._model_settings import PairEncoding
from metaflax.few_shot._estimator import sequence_of
from metaflax.few_shot._pairs import TextOrPairEstimator

# Name of the number in records.
NUMBER = "label"


class FewShotRegressor(RegressorMixin, TextOrPairEstimator):
    """Regressor of texts, or pairs of texts, that learns from a few examples.

    Args:
      model: run directory, directory or hub name of a pretrained encoder, or `minilm`.
      algorithm: name of an algorithm (default: the run's, or frozen).
      head: name of an output layer (default: ridge regression).
      strength: regularisation strength of closed-form heads such as ridge.
      temperature: scale of distances in heads such as prototypes.
      adapts: patterns of the parameter paths that inner steps adapt.
      num_steps: number of inner steps.
      inner_learning_rate: learning rate of inner steps.
      max_length: most tokens of a text; longer texts are truncated.
      batch_size: most texts in one call of the encoder.
      pair_encoding: encoding of pairs of texts, which X then holds: one_sequence (both
        in one sequence), two_towers (each by itself, for encoders of sentences), both
        (the features of the two) or phrase (the second text is a phrase of the first).
        None for single texts.

    Attributes:
      support_texts_: the texts of `fit`.
      support_targets_: numbers of these texts.
      learned_: the output layer and the adapted leaves of the encoder.

    Examples:
      ::

        regressor = metaflax.FewShotRegressor(strength=0.1)
        regressor.fit(["awful", "decent", "superb"], [1.0, 3.0, 5.0])
        regressor.predict(["very good"])

      >>> import metaflax
      >>> regressor = metaflax.FewShotRegressor(strength=0.1)
      >>> regressor.set_params(strength=1.0).get_params()["strength"]
      1.0
      >>> regressor.fit(["awful", "superb"], [1.0, float("nan")])
      Traceback (most recent call last):
        ...
      ValueError: X, y[1]: 'label' holds nan where a number is expected.
    """

    _task = "regression"

    def __init__(
        self,
        model: str | Path = "minilm",
        *,
        algorithm: str | None = None,
        head: str | None = None,
        strength: float | None = None,
        temperature: float | None = None,
        adapts: Sequence[str] | None = None,
        num_steps: int | None = None,
        inner_learning_rate: float | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        pair_encoding: PairEncoding | None = None,
    ):
        super().__init__(
            model,
            algorithm=algorithm,
            head=head,
            strength=strength,
            temperature=temperature,
            adapts=adapts,
            num_steps=num_steps,
            inner_learning_rate=inner_learning_rate,
            max_length=max_length,
            batch_size=batch_size,
        )
        self.pair_encoding = pair_encoding

    def fit(self, X: Any, y: Any) -> "FewShotRegressor":
        """Learns from texts and their numbers.

        Args:
          X: texts; with a `pair_encoding` pairs of texts, as tuples, an array `[U, 2]`
            or a data frame of two columns.
          y: finite numbers.

        Returns:
          The estimator.

        Raises:
          ValueError: for invalid texts, numbers or settings.
        """
        self._fit(self._sequence(X), sequence_of(y))
        return self

    def partial_fit(self, X: Any, y: Any) -> "FewShotRegressor":
        """Learns from further examples and all earlier ones; see `fit`."""
        self._partial_fit(self._sequence(X), sequence_of(y))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicts the number of each text, `[U]`."""
        return np.array([record[NUMBER] for record in self._predictions(X)], float)

    def _names(self, targets: Sequence[Any], examples: data.Examples) -> list[str]:
        return [NUMBER]
