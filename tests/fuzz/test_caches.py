"""Fuzzing of caches on disk: tokens of texts, and indices of raw text."""

import dataclasses
import io
import shutil
import zipfile

import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import data
from metaflax.data.batching import _tokenize
from metaflax.data.on_disk import _indexing, _text_index
from tests.fuzz.damage import SIZES, damaged, in_time, inputs, refusal

TOKENS = data.TokenizedTexts(
    flat=np.arange(100, 130, dtype=np.int32),
    offsets=np.array([0, 4, 9, 17, 30]),
    types=np.arange(30, dtype=np.int8) % 2,
    pad_id=3,
    num_truncated=1,
    marks=np.array([[0, 2], [1, 3], [4, 5], [6, 7]], np.int32),
    num_lost=2,
    spans=np.arange(60, dtype=np.int32).reshape(30, 2),
    owners=np.array([0, 1, 1, 2]),
)


def same(found, expected):
    for field in dataclasses.fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_equal(one, other)
        if isinstance(other, np.ndarray):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "tokens-0123.npz"
    _tokenize._save(path, TOKENS)
    return path


@SIZES
def test_damaged_tokens_are_those_that_were_saved_or_none(thousands, kept):
    content = kept.read_bytes()
    same(_tokenize._load(kept), TOKENS)

    @inputs(400, thousands, damage=st.one_of(damaged(content), st.binary(max_size=99)))
    def check(damage):
        kept.write_bytes(damage)
        with in_time():
            found = _tokenize._load(kept)
        if found is not None:
            same(found, TOKENS)


@pytest.mark.slow
def test_a_flip_of_any_bit_of_kept_tokens_is_found_or_does_no_harm(kept):
    content = kept.read_bytes()
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        kept.write_bytes(flipped)
        found = _tokenize._load(kept)
        if found is not None:
            same(found, TOKENS)


def described_otherwise(content, member, old, new):
    """The same archive with another shape or type in the header of a member."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        raw = archive.read(f"{member}.npy")
    assert raw.count(old) == 1
    assert len(old) == len(new)
    at = content.index(raw)
    changed = raw.replace(old, new)
    return content[:at] + changed + content[at + len(raw) :]


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("numbers", b"<i8", b"<i4"),  # Read in half, so that its checksum is not.
        ("marks", b"(4, 2)", b"(4, 1)"),
        ("marks", b"<i4", b"<i2"),
        ("owners", b"<i8", b"<i4"),
        ("spans", b"(30, 2)", b"(30, 1)"),
    ],
)
def test_an_array_that_is_described_otherwise_is_not_taken(member, old, new, kept):
    kept.write_bytes(described_otherwise(kept.read_bytes(), member, old, new))
    assert _tokenize._load(kept) is None


def test_tokens_of_other_texts_are_not_taken(kept):
    other = kept.with_name("tokens-4567.npz")
    shutil.copyfile(kept, other)
    assert _tokenize._load(other) is None


LINES = ["the dog barks", "the cat purrs", "the dog and a cat", "él ronronea", "a dog"]


def contents(index):
    """The rows of every word in an index; None if it cannot be read."""
    with in_time():
        rows_by_word, refused = refusal(rows_of_words, index)
        assert refused is None or "names.txt" in refused
        named = {row for _, rows in rows_by_word or () for row in rows}
        for row in named | set(range(len(index))):
            text, refused = refusal(index.text, row)
            assert refused is None or "raw.txt" in refused
            assert text is None or len(text) < 1000
    return rows_by_word


def rows_of_words(index):
    rows = [(name, index.words.rows(n)) for n, name in enumerate(index.words.names)]
    assert index.words.counts.tolist() == [len(own) for _, own in rows]
    return [(name, own.tolist()) for name, own in rows]


@pytest.fixture
def made(tmp_path):
    """A file of text, its index, and a copy of that."""
    path, cache = tmp_path / "raw.txt", tmp_path / "cache"
    path.write_text("\n".join(LINES))
    data.index_texts(path, cache_dir=cache)
    [folder] = cache.iterdir()
    return path, folder, shutil.copytree(folder, tmp_path / "good")


def read(path, folder):
    return data.index_texts(path, cache_dir=folder.parent)


FILES = pytest.mark.parametrize(
    "name",
    [
        *("index.json", "starts.int64", "words/sizes.json", "words/names.txt"),
        *("words/name_starts.npy", "words/starts.npy", "words/rows.npy"),
    ],
)


@SIZES
@FILES
def test_a_damaged_index_is_built_anew(name, thousands, made):
    path, folder, good = made
    whole, content = contents(read(path, folder)), (good / name).read_bytes()

    @inputs(30, thousands, damage=st.one_of(damaged(content), st.binary(max_size=99)))
    def check(damage):
        (folder / name).write_bytes(damage)
        index = read(path, folder)
        assert (contents(index), len(index)) == (whole, len(LINES))


@SIZES
@FILES
def test_an_index_that_is_damaged_while_it_is_used_is_read_within_its_bounds(
    name, thousands, made
):
    path, folder, good = made
    content = (good / name).read_bytes()

    @inputs(30, thousands, damage=st.one_of(damaged(content), st.binary(max_size=99)))
    def check(damage):
        (folder / name).write_bytes(damage)
        try:
            index = _text_index.TextIndex(path, folder)
        except (ValueError, LookupError, TypeError, OSError, RecursionError):
            return  # `index_texts` replaces such an index.
        contents(index)


def test_an_array_that_claims_to_be_huge_takes_no_memory(tmp_path):
    path = tmp_path / "raw.txt"
    path.write_text("\n".join(LINES))
    whole = contents(data.index_texts(path, cache_dir=tmp_path / "cache"))
    rows = next((tmp_path / "cache").glob("*/words/rows.npy"))
    raw = rows.read_bytes()
    described = {"descr": "<i4", "fortran_order": False, "shape": (999999999999,)}
    with rows.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, described)
        file.write(raw[128:])
    assert rows.stat().st_size == len(raw)
    _indexing.write_digest(rows.parents[1])
    assert contents(data.index_texts(path, cache_dir=tmp_path / "cache")) == whole
