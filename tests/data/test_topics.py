"""Tests of topics of texts."""

import numpy as np
import pytest

from metaflax import data

WORDS = {
    "sea": ["ship", "wave", "harbour", "sailor", "tide"],
    "kitchen": ["oven", "flour", "butter", "spoon", "recipe"],
    "stars": ["planet", "orbit", "telescope", "comet", "galaxy"],
}


def mixed(counts, seed=0):
    """Texts of several kinds in random order, and the kind of each."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    rng.shuffle(kinds)
    return [" ".join(rng.choice(WORDS[kind], 4)) for kind in kinds], kinds


def test_texts_that_share_words_share_a_topic_and_0_has_most():
    texts, kinds = mixed({"sea": 9, "kitchen": 30, "stars": 15})
    found = data.topics(texts, 3)
    assert sorted(set(zip(found, kinds, strict=True))) == [
        (0, "kitchen"),
        (1, "stars"),
        (2, "sea"),
    ]


def test_topics_are_the_same_each_time():
    texts, _ = mixed({"sea": 10, "stars": 10})
    assert data.topics(texts, 4) == data.topics(texts, 4)


@pytest.mark.parametrize(
    ("texts", "number", "message"),
    [
        (["a ship"], 2, "1 texts do not make 2 topics"),
        (["a ship"], 0, "do not make 0 topics"),
        (["the", "of"], 1, "no words to sort them by"),
        (["a ship", "the ship"], 1, "one word in all"),
    ],
)
def test_what_makes_no_topics_is_refused(texts, number, message):
    with pytest.raises(ValueError, match=message):
        data.topics(texts, number)
