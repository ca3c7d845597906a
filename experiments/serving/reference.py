"""Reference predictions for a service, computed directly."""

from collections.abc import Iterable

import numpy as np
from tenants import Prediction, Texts

import metaflax

# Rounding of a text's probabilities depends on the shape of its batch.
TOLERANCE = 1e-4


class Reference:
    """Direct predictions of the tasks of tenants.

    Args:
      texts: texts of the tenants, which are encoded once.
      model: name or directory of the model.
      head: head that is fitted to tasks; None for the default.
    """

    def __init__(self, texts: Texts, model: str, head: str | None):
        self._texts = texts
        self._classifier = metaflax.FewShotClassifier(model, head=head)
        self._classifier.transform(texts.texts)  # Caches the features of all texts.

    def wrong(self, predictions: Iterable[Prediction]) -> tuple[int, float]:
        """Counts texts whose answer differs, and returns the largest difference."""
        by_task: dict[tuple[int, ...], list[Prediction]] = {}
        for prediction in predictions:
            by_task.setdefault(prediction.rows, []).append(prediction)
        number, largest = 0, 0.0
        for rows, group in by_task.items():
            names, expected = self._probabilities(rows, group)
            answers = [answer for p in group for answer in p.answers]
            for row, (label, probabilities) in zip(expected, answers, strict=True):
                given = np.array([probabilities.get(name, np.nan) for name in names])
                difference = float(np.abs(given - row).max())
                largest = max(largest, difference)
                # Either label of a tie is correct.
                tied = row[names.index(label)] >= row.max() - TOLERANCE
                number += not (difference <= TOLERANCE and tied)
        return number, largest

    def _probabilities(
        self, rows: tuple[int, ...], group: list[Prediction]
    ) -> tuple[list[str], np.ndarray]:
        texts, labels = self._texts.texts, self._texts.labels
        self._classifier.fit([texts[i] for i in rows], [labels[i] for i in rows])
        queries = [texts[i] for prediction in group for i in prediction.queries]
        names = self._classifier.classes_.tolist()
        return names, self._classifier.predict_proba(queries)
