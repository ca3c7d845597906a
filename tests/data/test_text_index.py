"""Tests for the index of raw text, compared with a plain search."""

import json
import os
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax import data
from metaflax.data.on_disk import _indexing, _postings, _text_index

ALPHABET = "abcE éЖ語१ि5_-.\t'İ"
texts_of_lines = st.lists(
    st.text(ALPHABET, min_size=1, max_size=20).filter(str.strip), min_size=1
)


def indexed(folder, content, name="raw.txt", **kwargs):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return data.index_texts(path, cache_dir=folder / "cache", **kwargs)


def by_search(texts):
    """The rows of every word that occurs in at least two texts."""
    found = {}
    for row, text in enumerate(texts):
        for word in set(_text_index.words_in(text)):
            found.setdefault(word, []).append(row)
    return {w: rows for w, rows in found.items() if _indexing._is_word(w, len(rows))}


def as_dict(postings):
    return {n: postings.rows(i).tolist() for i, n in enumerate(postings.names)}


@hypothesis.given(texts_of_lines)
@hypothesis.settings(max_examples=60, deadline=None)
def test_rows_of_words_are_those_a_search_finds(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("index")
    index = indexed(folder, "\n".join(texts))
    assert [index.text(row) for row in range(len(index))] == texts
    assert as_dict(index.words) == by_search(texts)
    assert index.words.counts.tolist() == [
        len(r) for r in as_dict(index.words).values()
    ]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_blank_lines_and_line_ends_belong_to_no_text(tmp_path, ends):
    lines = ["﻿one two", "", "  ", "two three", ""]
    index = indexed(tmp_path, ends.join(lines))
    assert [index.text(row) for row in range(len(index))] == ["one two", "two three"]
    assert as_dict(index.words) == {"two": [0, 1]}


def test_sorting_little_at_a_time_changes_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(50)]
    texts = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(400)]
    whole = as_dict(indexed(tmp_path / "", "\n".join(texts)).words)
    monkeypatch.setattr(_postings, "_PAIRS", 17)
    monkeypatch.setattr(_postings, "_STRETCH", 23)
    (tmp_path / "again").mkdir()
    assert as_dict(indexed(tmp_path / "again", "\n".join(texts)).words) == whole


def test_rare_names_are_forgotten_where_there_are_very_many(tmp_path, monkeypatch):
    monkeypatch.setattr(_postings, "_PAIRS", 10)
    builder = _postings.PostingsBuilder(
        tmp_path / "scratch", lambda name, count: count > 1, most_names=20
    )
    for row in range(200):
        builder.add(row, ["common", f"rare{row}"])
        assert len(builder._numbers) <= 20 + 2 * 10
    builder.finish(tmp_path / "index")
    assert as_dict(_postings.Postings(tmp_path / "index")) == {
        "common": list(range(200))
    }


def test_labels_are_indexed_beside_words(tmp_path):
    rows = [("it barks", "dog"), ("it purrs", "cat"), ("barks", "dog")]
    content = "\n".join(json.dumps({"t": t, "pet": label}) for t, label in rows)
    index = indexed(tmp_path, content, "pets.jsonl", text="t", label="pet")
    assert as_dict(index.labels) == {"dog": [0, 2], "cat": [1]}
    assert as_dict(index.words) == {"it": [0, 1], "barks": [0, 2]}
    assert index.text(1) == "it purrs"


def test_an_index_is_built_once_whatever_the_name(tmp_path, monkeypatch):
    first = indexed(tmp_path, "a b\nb a")
    monkeypatch.setattr(_indexing, "_build", lambda *_: pytest.fail("built again"))
    again = indexed(tmp_path, "a b\nb a", "other.txt")
    assert as_dict(first.words) == as_dict(again.words)
    assert again.path.name == "other.txt"


def test_another_content_or_column_has_an_index_of_its_own(tmp_path):
    content = '{"a": "x y", "b": "y z"}\n{"a": "x", "b": "z"}'
    first, second = (indexed(tmp_path, content, "r.jsonl", text=c) for c in "ab")
    assert (as_dict(first.words), as_dict(second.words)) == (
        {"x": [0, 1]},
        {"z": [0, 1]},
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", b"[]"),
        ("index.json", b'{"text": null, "rows": "3"}'),
        ("words/sizes.json", b"null"),
        ("words/starts.npy", b"\x93NUMPY\x01\x00"),
    ],
)
def test_an_index_that_says_odd_things_of_itself_is_built_anew(tmp_path, name, content):
    index = indexed(tmp_path, "a b\nb a\na")
    whole = as_dict(index.words)
    (index._folder / name).write_bytes(content)
    _indexing.write_digest(index._folder)
    assert as_dict(indexed(tmp_path, "a b\nb a\na").words) == whole


def test_starts_that_lead_elsewhere_are_found_or_refused(tmp_path):
    index = indexed(tmp_path, "a b\nb a\na")
    folder = index._folder
    np.array([0, -5, 2**62, 9], "<i8").tofile(folder / "starts.int64")
    again = _text_index.TextIndex(index.path, folder)
    for row in range(3):
        with pytest.raises(ValueError, match=r"raw\.txt: has changed since"):
            again.text(row)
    with pytest.raises(ValueError, match=r"raw\.txt: has changed since"):
        again.text(77)
    np.save(folder / "words" / "starts.npy", np.array([0, 9, 5]))
    with pytest.raises(ValueError, match="is damaged: its offsets do not fit"):
        _text_index.TextIndex(index.path, folder)


@pytest.mark.parametrize(
    "name",
    [
        *("starts.int64", "words/names.txt"),
        pytest.param("words/rows.npy", marks=pytest.mark.slow),
        pytest.param("words/starts.npy", marks=pytest.mark.slow),
    ],
)
def test_no_bit_of_an_index_is_taken_for_another(tmp_path, name):
    index = indexed(tmp_path, "a b\nb a\na")
    whole, file = as_dict(index.words), index._folder / name
    good = file.read_bytes()
    for place in range(0, 8 * len(good), 5):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        again = indexed(tmp_path, "a b\nb a\na")
        assert as_dict(again.words) == whole
        assert [again.text(row) for row in range(3)] == ["a b", "b a", "a"]


@pytest.mark.parametrize("damage", ["truncate", "remove", "scribble"])
def test_a_damaged_index_is_built_anew(tmp_path, damage):
    index = indexed(tmp_path, "a b\nb a\na")
    whole = as_dict(index.words)
    rows = index._folder / "words" / "rows.npy"
    if damage == "truncate":
        os.truncate(rows, rows.stat().st_size - 4)
    elif damage == "remove":
        rows.unlink()
    else:
        (index._folder / "index.json").write_text("{")
    assert as_dict(indexed(tmp_path, "a b\nb a\na").words) == whole
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fails(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_postings.PostingsBuilder, "finish", fails)
    with pytest.raises(KeyboardInterrupt):
        indexed(tmp_path, "a b\nb a")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_process_of_its_own_opens_the_files_for_itself(tmp_path):
    index = indexed(tmp_path, "a b\nb a")
    sent = pickle.dumps(index)
    assert len(sent) < 1000
    assert as_dict(pickle.loads(sent).words) == as_dict(index.words)


def test_rows_stay_the_same_when_memory_is_let_go(tmp_path):
    index = indexed(tmp_path, "a b\nb a")
    before = as_dict(index.words)
    index.release()
    assert as_dict(index.words) == before
    assert index.text(1) == "b a"


@pytest.mark.parametrize(
    ("content", "name", "kwargs", "message"),
    [
        ("\n \n", "r.txt", {}, "holds no text; give at least one line"),
        (
            b"fine\n\xff",
            "r.txt",
            {},
            r"r.txt:2: not UTF-8 \(byte 1 of the line is",
        ),
        ("x" * (2**20 + 1), "r.txt", {}, "r.txt:1: the line is longer than 1,048,576"),
        ("a", "r.txt", {"label": "l"}, "a line of plain text has no label"),
        ('{"text": "a"}\n{', "r.jsonl", {}, "r.jsonl:2: not JSON"),
        ('{"txt": "a"}', "r.jsonl", {}, "r.jsonl:1: no column 'text'"),
        ('{"text": 3}', "r.jsonl", {}, "r.jsonl:1: 'text' holds 3 where a text"),
    ],
)
def test_bad_text_is_refused_with_its_line(tmp_path, content, name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        indexed(tmp_path, content, name, **kwargs)
    cache = tmp_path / "cache"
    assert not cache.exists() or not list(cache.iterdir())


def test_a_missing_file_and_a_cache_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        data.index_texts(tmp_path / "none.txt")
    (tmp_path / "file").write_text("a\na")
    with pytest.raises(ValueError, match="cannot be written"):
        data.index_texts(tmp_path / "file", cache_dir=tmp_path / "file")


def test_a_file_that_changed_under_the_index_is_noticed(tmp_path):
    index = indexed(tmp_path, '{"text": "a b"}\n{"text": "b"}', "r.jsonl")
    (tmp_path / "r.jsonl").write_text("no longer what it was, not at all, not JSON")
    with pytest.raises(ValueError, match="has changed since it was indexed"):
        index.text(0)
