"""Tests for packed rows of text and their masked words."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import data, models
from metaflax.data.raw_text import _masking
from metaflax.data.raw_text._packed_text import PackedText, Row
from tests.workflows import worlds

PIECES = ("un", "##like", "##ly", "cat", "dog", "##s")
LINES = ("unlikely cats", "dogs", "cat dog cat", "unlikely unlikely dogs")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    worlds.save_tokenizer(folder, (*worlds.SPECIAL, *PIECES))
    return models.pretrained.tokenizer(folder)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "raw.txt").write_text("\n".join(LINES))
    return data.index_texts(folder / "raw.txt", cache_dir=folder / "cache")


def packed(index, tokenizer, length=8, first=0, last=4):
    return PackedText(index, tokenizer, length, first, last)


def test_rows_are_full_and_go_on_after_the_last_text(index, tokenizer):
    text = packed(index, tokenizer)
    found = {tokenizer.decode(text.row(0, n).ids) for n in range(40)}
    assert found == {
        "[CLS] un ##like ##ly cat ##s [SEP]",  # No token fits between the last two.
        "[CLS] dog ##s [SEP] cat dog cat [SEP]",
        "[CLS] cat dog cat [SEP] un ##like [SEP]",
        "[CLS] un ##like ##ly un ##like ##ly [SEP]",
    }
    for number in range(40):
        row, again = text.row(0, number), text.row(0, number)
        assert len(row.ids) == len(row.words)
        assert row.ids.tolist() == again.ids.tolist()


def test_pieces_of_a_word_share_its_number(index, tokenizer):
    row = next(packed(index, tokenizer, length=20, last=3).rows())
    assert tokenizer.convert_ids_to_tokens(row.ids) == [
        "[CLS]", "un", "##like", "##ly", "cat", "##s", "[SEP]", "dog", "##s", "[SEP]",
        "cat", "dog", "cat", "[SEP]",
    ]  # fmt: skip
    assert row.words.tolist() == [-1, 0, 0, 0, 1, 1, -1, 2, 2, -1, 3, 4, 5, -1]


def test_rows_in_order_hold_each_text_of_the_stretch_once(index, tokenizer):
    rows = list(packed(index, tokenizer, length=30, first=1).rows())
    assert len(rows) == 1
    assert tokenizer.decode(rows[0].ids) == (
        "[CLS] dog ##s [SEP] cat dog cat [SEP]"
        " un ##like ##ly un ##like ##ly dog ##s [SEP]"
    )
    short = list(packed(index, tokenizer, length=6).rows())
    assert [len(row.ids) for row in short] == [6, 6, 6]
    assert all(row.ids[-1] == tokenizer.sep_token_id for row in short)


def test_text_that_is_not_there_is_refused(index, tokenizer):
    for first, last in ((2, 2), (0, 5), (-1, 2)):
        with pytest.raises(ValueError, match="holds 4 texts, and none are"):
            packed(index, tokenizer, first=first, last=last)
    with pytest.raises(ValueError, match="got 2"):
        packed(index, tokenizer, length=2)


rows_of_words = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(
    lambda sizes: Row(
        np.arange(5, 7 + sum(sizes), dtype=np.int32),
        np.array([-1, *np.repeat(np.arange(len(sizes)), sizes), -1], np.int32),
    )
)


@hypothesis.given(rows_of_words, st.floats(0.05, 0.5), st.integers(0, 2**32))
@hypothesis.settings(max_examples=100, deadline=None)
def test_whole_words_are_hidden_and_no_more_than_the_share(row, rate, seed):
    rng = np.random.default_rng(seed)
    vocabulary = np.arange(1000, 1010)
    ids, places, targets = _masking.mask_words(
        row, rng, mask_id=3, vocabulary=vocabulary, rate=rate
    )
    assert len(places) > 0
    assert targets.tolist() == row.ids[places].tolist()
    untouched = np.delete(np.arange(len(ids)), places)
    assert ids[untouched].tolist() == row.ids[untouched].tolist()
    hidden = set(row.words[places].tolist())
    assert -1 not in hidden
    assert set(places.tolist()) == set(np.flatnonzero(np.isin(row.words, [*hidden])))
    room = max(int(rate * (len(row.ids) - 2)), 1)
    assert len(places) <= room or len(hidden) == 1
    for place, target in zip(places, targets, strict=True):
        assert ids[place] in (3, target, *vocabulary)


def test_tokens_are_masked_replaced_and_kept_eight_to_one_to_one():
    words = np.arange(200, dtype=np.int32)
    row = Row(words + 10, words)
    fates = np.zeros(3)
    asked = np.zeros(200)
    for seed in range(400):
        ids, places, targets = _masking.mask_words(
            row, np.random.default_rng(seed), mask_id=3, vocabulary=np.array([5, 6])
        )
        assert len(places) == 30
        asked[places] += 1
        masked, kept = ids[places] == 3, ids[places] == targets
        fates += masked.sum(), (~masked & ~kept).sum(), kept.sum()
    np.testing.assert_allclose(fates / fates.sum(), [0.8, 0.1, 0.1], atol=0.01)
    # Each word is as likely as another: 60 times, with a deviation of about 7.
    assert np.abs(asked - 60).max() < 32


def test_a_row_without_words_asks_for_nothing():
    special = Row(np.array([1, 2], np.int32), np.full(2, -1, np.int32))
    hidden = _masking.mask_words(
        special, np.random.default_rng(0), mask_id=3, vocabulary=np.array([5])
    )
    assert hidden.positions.size == 0


def test_a_batch_has_marks_and_targets_of_fixed_number():
    rows = [
        _masking.MaskedRow(*(np.array(x, np.int32) for x in parts))
        for parts in (
            ([7, 3, 3, 8], [1, 2], [5, 6]),
            ([7, 3, 8], [1], [4]),
            ([7, 3, 3, 3, 8], [1, 2, 3], [4, 5, 6]),
        )
    ]
    batch = _masking.collate_masked(rows, 5, 2, pad_id=9)
    assert batch.inputs.ids.tolist() == [
        [7, 3, 3, 8, 9],
        [7, 3, 8, 9, 9],
        [7, 3, 3, 3, 8],
    ]
    assert batch.inputs.mask.sum(axis=1).tolist() == [4, 3, 5]
    assert batch.inputs.marks.tolist() == [[1, 2], [1, 0], [1, 2]]
    assert batch.targets.tolist() == [[5, 6], [4, -1], [4, 5]]
    assert batch.weights.tolist() == [1, 1, 1]


def test_ordinary_tokens_are_all_but_the_special_ones(tokenizer):
    expected = [tokenizer.convert_tokens_to_ids(piece) for piece in PIECES]
    assert _masking.ordinary_tokens(tokenizer).tolist() == sorted(expected)
