"""Fuzzing of split files, and of the names in them."""

import json

from metaflax import data
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
CASES = [(SPLIT, None), (FOLDS, "01")]


def check_splits(splits):
    """Every example is in one of the three, or counted as unused."""
    if splits is None:
        return
    data.check_disjoint(splits)
    parts = (splits.train, splits.valid, splits.test)
    assert all(len(part) for part in parts)
    assert sum(map(len, parts)) + splits.num_unused == len(LETTERS)


@SIZES
def test_damaged_split_files_are_read_or_refused(thousands, tmp_path):
    path = tmp_path / "splits.json"
    for content, fold in CASES:

        @inputs(100, thousands, damage=files_like(json.dumps(content).encode()))
        def check(damage, fold=fold):
            path.write_bytes(damage)
            check_splits(
                read_or_refused(lambda p: data.split_by_file(LETTERS, p, fold), path)
            )


@SIZES
def test_odd_names_are_refused(thousands, tmp_path):
    path = tmp_path / "splits.json"
    for content, fold in CASES:

        @inputs(100, thousands, content=changed(content))
        def check(content, fold=fold):
            path.write_text(as_json(content))
            check_splits(
                read_or_refused(lambda p: data.split_by_file(LETTERS, p, fold), path)
            )
