"""Tests for regression episodes, one domain each."""

import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.data.samplers._numbers import NumberSampler
from metaflax.data.sources._splits import split_by_names

TEXTS = tuple(f"{domain}{n}" for domain in "abc" for n in range(8))
DOMAINS = tuple(text[0] for text in TEXTS)
NUMBERS = tuple(float(n) for n in range(len(TEXTS)))
EXAMPLES = data.Examples("x", TEXTS, ((),) * 24, DOMAINS, targets=NUMBERS)


def test_an_episode_is_of_one_domain_and_no_example_is_in_it_twice():
    sampler = NumberSampler(EXAMPLES, shot=(2, 4), queries=3)
    assert sampler.sizes == EpisodeSizes(1, 4, 3)
    domains, shots = set(), set()
    for index in range(60):
        episode = sampler.episode(3, index)
        rows = [*episode.support, *episode.query]
        assert len(set(rows)) == len(rows)
        assert {DOMAINS[row] for row in rows} == {"abc"[episode.domain]}
        said = [*episode.support_targets, *episode.query_targets]
        assert said == [NUMBERS[row] for row in rows]
        domains.add(episode.domain)
        shots.add(len(episode.support))
    assert (domains, shots) == ({0, 1, 2}, {2, 3, 4})


def test_an_episode_is_known_by_seed_and_index():
    sampler = NumberSampler(EXAMPLES, shot=2, queries=3)
    lists = [data.fixed_list(sampler, seed, 5) for seed in (0, 0, 1)]
    hashes = [data.protocol_hash(episodes) for episodes in lists]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_text_that_occurs_twice_is_drawn_once():
    twice = data.Examples("x", ("a", "a", "b"), ((),) * 3, targets=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match=r"3 different texts.*'all' \(2\)"):
        NumberSampler(twice, shot=2, queries=1)
    episode = NumberSampler(twice, shot=1, queries=1).episode(0, 0)
    assert {*episode.support, *episode.query} == {0, 2}
    assert episode.domain is None


def test_domains_with_too_few_texts_are_named():
    few = EXAMPLES.select([*range(8), 8, 9, *range(16, 24)])
    with pytest.raises(ValueError, match=r"a domain, and these have fewer: 'b' \(2\)"):
        NumberSampler(few, shot=2, queries=1)


def test_examples_of_classes_are_refused():
    classes = data.Examples("x", ("a", "b"), (("c",), ("d",)))
    with pytest.raises(ValueError, match="holds no numbers to learn"):
        NumberSampler(classes, shot=1, queries=1)


def test_a_batch_of_numbers_keeps_them_as_they_are():
    sampler = NumberSampler(EXAMPLES, shot=(1, 4), queries=3)
    offsets = np.arange(25)
    tokenized = data.TokenizedTexts(np.arange(24, dtype=np.int32), offsets)
    episodes = data.fixed_list(sampler, 0, 3)
    task = data.collate(episodes, tokenized, **sampler.sizes._asdict())
    assert task.support.targets.dtype == np.float32
    assert task.support.targets.shape == (3, 4)
    for row, weights, episode in zip(*task.support[1:], episodes, strict=True):
        assert row[weights > 0].tolist() == episode.support_targets.tolist()


def test_numbers_can_be_split_by_domain_only():
    names = {"train": ["a"], "valid": ["b"], "test": ["c"]}
    splits = split_by_names(EXAMPLES, names, by="domain")
    assert splits.test.targets == NUMBERS[16:]
    with pytest.raises(ValueError, match="no classes to split by; split by domain"):
        split_by_names(EXAMPLES, names)
    with pytest.raises(ValueError, match="no label to tell their domain by"):
        EXAMPLES.with_domains({})
