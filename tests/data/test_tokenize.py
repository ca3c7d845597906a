"""Tests for tokenising once and keeping the result on disk."""

import dataclasses

import numpy as np
import pytest

from metaflax import _files, data

TEXTS = ("a b c", "b", "c c c c c")


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer of words between [CLS] and [SEP], for a model of 8 positions."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    vocab = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "b": 5, "c": 6}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, "[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        model_max_length=8,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def as_lists(tokens):
    return [row.tolist() for row in tokens]


def test_tokens_lie_end_to_end(tokenizer):
    tokens = data.tokenize(tokenizer, TEXTS, max_length=8)
    expected = [[1, 4, 5, 6, 2], [1, 5, 2], [1, 6, 6, 6, 6, 6, 2]]
    assert as_lists(tokens) == expected
    assert tokens.lengths.tolist() == [5, 3, 7]
    assert (tokens.flat.dtype, tokens.offsets.dtype) == (np.int32, np.int64)
    assert (tokens.types, tokens.pad_id, tokens.num_truncated) == (None, 0, 0)
    assert tokens[-1].tolist() == expected[-1]


def test_a_long_text_is_refused_by_number_or_cut_and_counted(tokenizer):
    with pytest.raises(ValueError, match=r"example 2 has 7 tokens and the limit is 5"):
        data.tokenize(tokenizer, TEXTS, max_length=5)
    tokens = data.tokenize(tokenizer, TEXTS, max_length=5, on_long="truncate")
    assert as_lists(tokens)[2] == [1, 6, 6, 6, 2]  # The end keeps its [SEP].
    assert tokens.num_truncated == 1


def test_lengths_the_model_has_no_positions_for_are_refused(tokenizer):
    with pytest.raises(ValueError, match="max_length=9 does not fit a model of 8"):
        data.tokenize(tokenizer, TEXTS, max_length=9)
    with pytest.raises(ValueError, match="model of 7 positions"):
        data.tokenize(tokenizer, TEXTS, max_length=8, max_positions=7)
    with pytest.raises(ValueError, match="'error' or 'truncate'"):
        data.tokenize(tokenizer, TEXTS, max_length=8, on_long="drop")


def test_a_text_without_tokens_is_refused(tokenizer):
    class Silent:
        model_max_length, pad_token_id = 8, None

        def __call__(self, texts, **kwargs):
            return {"input_ids": [[1] for _ in texts[1:]] + [[]]}

    with pytest.raises(ValueError, match="example 2 gives no tokens"):
        data.tokenize(Silent(), TEXTS, max_length=8)


def same(first, second):
    for field in dataclasses.fields(first):
        np.testing.assert_equal(getattr(first, field.name), getattr(second, field.name))


class Untouchable:
    """A tokenizer whose rules can be read, and which must not be called."""

    def __init__(self, tokenizer):
        self.backend_tokenizer = tokenizer.backend_tokenizer
        self.model_max_length = tokenizer.model_max_length
        self.pad_token_id = tokenizer.pad_token_id


def test_the_second_time_tokens_come_from_disk(tokenizer, tmp_path):
    first = data.tokenize(tokenizer, TEXTS, max_length=8, cache_dir=tmp_path)
    [file] = tmp_path.iterdir()
    # A call in between leaves the tokenizer's padding and truncation changed.
    tokenizer(list(TEXTS), padding="max_length", truncation=True, max_length=3)
    options = {"max_length": 8, "cache_dir": tmp_path}
    same(first, data.tokenize(Untouchable(tokenizer), TEXTS, **options))
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("texts", "max_length"),
    [(("a b c", "b c", "c c c c"), 8), (TEXTS, 7), (("a b c b", "", "c c c c c"), 8)],
)
def test_other_texts_or_lengths_have_a_cache_of_their_own(
    tokenizer, tmp_path, texts, max_length
):
    data.tokenize(tokenizer, TEXTS, max_length=8, cache_dir=tmp_path)
    data.tokenize(tokenizer, texts, max_length=max_length, cache_dir=tmp_path)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_damaged_cache_is_made_anew(tokenizer, tmp_path):
    options = {"max_length": 8, "cache_dir": tmp_path}
    first = data.tokenize(tokenizer, TEXTS, **options)
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 4
    flipped = bytes([whole[middle] ^ 1])
    for damaged in (
        b"",
        b"not an archive",
        whole[: len(whole) // 2],
        whole[:middle] + flipped + whole[middle + 1 :],
    ):
        file.write_bytes(damaged)
        same(first, data.tokenize(tokenizer, TEXTS, **options))
    np.savez(file, flat=np.zeros(2, np.int32))
    same(first, data.tokenize(tokenizer, TEXTS, **options))
    same(first, data.tokenize(Untouchable(tokenizer), TEXTS, **options))


def test_cut_texts_on_disk_do_not_get_past_the_refusal(tokenizer, tmp_path):
    options = {"max_length": 5, "cache_dir": tmp_path}
    first = data.tokenize(tokenizer, TEXTS, on_long="truncate", **options)
    with pytest.raises(ValueError, match="example 2 has 7 tokens"):
        data.tokenize(tokenizer, TEXTS, **options)
    same(first, data.tokenize(tokenizer, TEXTS, on_long="truncate", **options))


def test_a_cache_that_cannot_be_written_is_named(tokenizer, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ValueError, match="cannot be written"):
        data.tokenize(tokenizer, TEXTS, max_length=8, cache_dir=blocked)


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    def fail():
        with _files.atomic_write(tmp_path / "x", "wb") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [*tmp_path.iterdir()] == []
