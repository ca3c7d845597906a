"""Fuzzing of split files, and of the names in them."""

import json

import hypothesis.strategies as st
import pytest

from metaflax import data
from metaflax.data.sources._splits import check_disjoint
from tests.fuzz.damage import (
    SIZES,
    as_json,
    changed,
    files_like,
    inputs,
    read_or_refused,
)

SPLIT = {"train": ["a", "b"], "valid": ["c"], "test": ["d"], "note": "mine"}
FOLDS = {"01": SPLIT, "02": {"train": ["d"], "valid": ["a"], "test": ["b", "c"]}}
LETTERS = data.Examples(
    "letters", tuple("aabbccdde"), tuple((letter,) for letter in "aabbccdde")
)


@SIZES
@pytest.mark.parametrize(("content", "fold"), [(SPLIT, None), (FOLDS, "01")])
def test_damaged_split_files_are_read_or_refused(content, fold, thousands, tmp_path):
    path = tmp_path / "splits.json"
    good = json.dumps(content).encode()

    @inputs(200, thousands, damage=st.one_of(files_like(good), changed(content)))
    def check(damage):
        """Every example is in one of three parts, or counted as unused."""
        if isinstance(damage, bytes):
            path.write_bytes(damage)
        else:
            path.write_text(as_json(damage))
        splits = read_or_refused(lambda p: data.split_by_file(LETTERS, p, fold), path)
        if splits is None:
            return
        check_disjoint(splits)
        parts = (splits.train, splits.valid, splits.test)
        assert all(map(len, parts))
        assert sum(map(len, parts)) + splits.num_unused == len(LETTERS)


def test_a_split_that_says_two_things_is_refused(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text('{"train": ["a"], "train": ["b"], "valid": ["c"], "test": ["d"]}')
    with pytest.raises(ValueError, match="has the name 'train' more than once"):
        data.split_by_file(LETTERS, path)
