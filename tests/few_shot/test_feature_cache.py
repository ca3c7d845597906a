"""Tests of the cache of features."""

import numpy as np

from metaflax.few_shot._feature_cache import FeatureCache
from metaflax.workflows.learning._text_encoder import Encoded


class Lengths:
    """Encoder whose feature is the length of a text; counts the encoded texts."""

    def __init__(self):
        self.num_encoded = 0

    def encode(self, texts):
        self.num_encoded += len(texts)
        lengths = np.array([[len(text)] for text in texts])
        return Encoded(lengths.astype(np.float32), np.tile(lengths, 2))


def test_the_last_texts_are_encoded_once():
    encoder = Lengths()
    cache = FeatureCache(encoder, most_texts=3)
    for texts in (["a", "bb", "a"], ["ccc", "dddd", "a"], ["a", "ccc", "dddd"]):
        encoded = cache.encode(texts)
        assert encoded.features[:, 0].tolist() == [len(text) for text in texts]
        assert encoded.coverage.tolist() == [[len(text)] * 2 for text in texts]
    assert encoder.num_encoded == 4
    cache.encode(["bb"])  # Pushed out by later texts.
    assert encoder.num_encoded == 5


def test_only_the_cached_rows_stay_in_memory():
    cache = FeatureCache(Lengths(), most_texts=3)
    cache.encode([f"{number}" for number in range(1000)])
    kept = [array for row in cache._rows.values() for array in row]
    assert len(kept) == 6
    assert all(array.base is None for array in kept)
