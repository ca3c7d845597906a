"""Cache of features of texts."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaflax.workflows.learning._text_encoder import Encoded, TextEncoder

# Largest number of cached texts.
MOST_TEXTS = 20_000


class FeatureCache:
    """Encoder with a cache of features.

    Cross-validation and grid search fit and predict the same texts repeatedly.

    Args:
      encoder: encoder of the texts.
      most_texts: largest number of cached texts; the most recently used are kept.
    """

    def __init__(self, encoder: TextEncoder, most_texts: int = MOST_TEXTS):
        self._encoder, self._most = encoder, most_texts
        self._rows: OrderedDict[Any, Encoded] = OrderedDict()

    def encode(self, texts: Sequence[Any]) -> Encoded:
        """Encodes any number of texts, in order."""
        if not texts:
            return self._encoder.encode(texts)
        known = {text: self._rows[text] for text in texts if text in self._rows}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            encoded = self._encoder.encode(new)
            known |= {text: encoded.of(row) for row, text in enumerate(new)}
        self._keep(known)
        return Encoded(*map(np.stack, zip(*(known[t] for t in texts), strict=True)))

    def _keep(self, rows: Mapping[Any, Encoded]) -> None:
        """Caches copies of the last rows: a view would hold the array of all."""
        for text in list(rows)[-self._most :]:
            if text in self._rows:
                self._rows.move_to_end(text)
            else:
                self._rows[text] = Encoded(*map(np.copy, rows[text]))
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)
