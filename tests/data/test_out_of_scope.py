"""Tests for out-of-scope texts: reading, and positions in episodes."""

import json

import numpy as np
import pytest

from metaflax import data
from metaflax.data.samplers._episodes import content_hash
from metaflax.data.samplers._out_of_scope import WithOutOfScope, out_of_scope_texts


def letters():
    texts = tuple(f"{n} {c}" for c in "abcd" for n in range(6))
    return data.Examples("letters", texts, tuple((text[-1],) for text in texts))


def write(folder, rows):
    path = folder / "others.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_of_meta_test_are_read_once_each(tmp_path):
    rows = [
        {"text": "one", "orig_split": "test"},
        {"text": "two", "orig_split": "train"},
        {"text": "one", "orig_split": "test"},
        {"text": "three"},
    ]
    assert out_of_scope_texts(write(tmp_path, rows)) == ("one", "three")


def test_a_text_that_has_a_class_and_a_file_of_none_are_refused(tmp_path):
    path = write(tmp_path, [{"text": "0 a"}, {"text": "one"}])
    with pytest.raises(ValueError, match="'0 a' have a class in the data"):
        out_of_scope_texts(path, known=letters().texts)
    path = write(tmp_path, [{"text": "one", "orig_split": "train"}])
    with pytest.raises(ValueError, match="holds no text out of scope"):
        out_of_scope_texts(path)


def test_episodes_are_the_samplers_own_with_as_many_other_texts_behind():
    sampler = data.EpisodeSampler(letters(), way=3, shot=1, queries=(1, 2))
    wider = WithOutOfScope(sampler, first=24, count=10)
    assert wider.sizes == sampler.sizes._replace(num_queries=12)
    drawn = set()
    for index in range(60):
        own, more = sampler.episode(5, index), wider.episode(5, index)
        num = len(own.query)
        np.testing.assert_array_equal(more.query[:num], own.query)
        np.testing.assert_array_equal(more.query_targets[:num], own.query_targets)
        np.testing.assert_array_equal(more.support, own.support)
        others = more.query[num:].tolist()
        assert len(others) == len(set(others)) == num
        assert more.query.dtype == own.query.dtype
        drawn |= set(others)
    assert drawn == set(range(24, 34))


def test_fewer_texts_than_an_episode_takes_are_refused():
    sampler = data.EpisodeSampler(letters(), way=3, shot=1, queries=2)
    with pytest.raises(ValueError, match="there are 5 texts.* takes 6"):
        WithOutOfScope(sampler, first=24, count=5)


def test_the_content_of_episodes_is_told_apart_where_their_numbers_are_the_same():
    examples = letters()
    sampler = data.EpisodeSampler(examples, way=2, shot=1, queries=2)
    episodes = data.fixed_list(sampler, 0, 5)
    renamed = tuple((f"{label[0]}x",) for label in examples.labels)
    others = data.Examples("others", examples.texts, renamed)
    wider = data.EpisodeSampler(others, way=2, shot=1, queries=2)
    same = data.fixed_list(wider, 0, 5)
    assert data.protocol_hash(episodes) == data.protocol_hash(same)
    found = content_hash(episodes, examples)
    assert found != content_hash(same, others)
    assert found == content_hash(reversed(episodes), letters())
