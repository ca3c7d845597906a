"""Tests for queries that belong to none of an episode's classes."""

import pytest

from metaflax import data
from metaflax.data.samplers._none_of_the_above import WithNone

TEXTS = tuple(f"{label}{n}" for label in "abcde" for n in range(10))
EXAMPLES = data.Examples("x", TEXTS, tuple((text[0],) for text in TEXTS))


def sampler(rate, way=3, queries=4, examples=EXAMPLES):
    inside = data.EpisodeSampler(examples, way, 2, queries)
    return inside, WithNone(inside, rate)


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0.25, 4), (0.5, 12)])
def test_a_share_of_the_queries_is_of_other_classes(rate, count):
    inside, outside = sampler(rate)
    assert outside.sizes == inside.sizes._replace(num_queries=12 + count)
    for index in range(30):
        known, episode = inside.episode(5, index), outside.episode(5, index)
        # Queries of the episode's classes do not change.
        assert episode.support.tolist() == known.support.tolist()
        assert episode.query[:12].tolist() == known.query.tolist()
        assert episode.query_targets.tolist()[12:] == [-1] * count
        drawn = {EXAMPLES.label_names[number] for number in episode.classes}
        others = [TEXTS[row] for row in episode.query[12:]]
        assert len(set(others)) == count
        assert not drawn & {text[0] for text in others}


def test_others_are_of_the_episodes_domain():
    domains = tuple("xy"[text[0] in "ab"] for text in TEXTS)
    examples = data.Examples("x", TEXTS, EXAMPLES.labels, domains)
    inside = data.EpisodeSampler(examples, 2, 2, 2)
    with pytest.raises(ValueError, match="there are 0 texts of others, and 4 are to"):
        WithNone(inside, 0.5)  # One domain has two classes only.
    alone = examples.select(i for i, domain in enumerate(domains) if domain == "x")
    _, outside = sampler(0.5, way=2, queries=2, examples=alone)
    texts = {alone.texts[row][0] for row in outside.episode(0, 0).query}
    assert texts <= set("cde")


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match=f"is {rate}; give 0 to below 1"):
        sampler(rate)


def test_there_must_be_other_classes():
    with pytest.raises(ValueError, match="beside an episode of 5 classes there are 0"):
        sampler(0.2, way=5)
