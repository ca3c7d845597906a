"""Tests for duplicate texts: notes on them, and their side of an episode."""

import dataclasses
import json

import numpy as np
import pytest

from metaflax import data
from metaflax.data.on_disk._labelled_texts import labelled_examples
from metaflax.data.samplers._entities import EntitySampler
from metaflax.data.samplers._multilabel import MultiLabelSampler
from metaflax.data.samplers._none_of_the_above import WithNone
from metaflax.data.samplers._numbers import NumberSampler
from metaflax.data.samplers._out_of_scope import out_of_scope_texts
from metaflax.data.samplers._rare_classes import without_rare_classes
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._splits import split_by_names
from metaflax.tasks._entity_spans import Entity
from tests.tasks.test_label_names import COFFEE


def write(folder, rows, name="rows.jsonl"):
    path = folder / name
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.write_text("\n".join(lines))
    return path


def test_a_label_written_in_several_ways_is_one_and_said_so(tmp_path):
    rows = [("a", 1), ("b", 1.0), ("c", "x "), ("d", "x"), ("e", True), ("f", "True")]
    examples = data.read(write(tmp_path, rows))
    assert examples.label_names == ("1", "true", "x")
    assert [note.partition(": ")[2] for note in examples.notes] == [
        "'1' and '1.0' are one label, '1'.",
        "'x' and 'x ' are one label, 'x'.",
    ]


def test_every_format_gives_a_label_the_same_name(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.csv").write_text("text,label\nx,1.0\ny,True\n")
    rows = [{"text": "x", "label": 1.0}, {"text": "y", "label": True}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for label in (1, 1.0, True):
        table = pyarrow.table({"text": ["x"], "label": [label]})
        parquet.write_table(table, tmp_path / "a.parquet")
        name = "true" if label is True else "1"
        assert data.read(tmp_path / "a.parquet").label_names == (name,)
    for name in ("a.csv", "a.jsonl"):
        examples = data.read(tmp_path / name)
        assert examples.label_names == ("1", "true")
        index = data.index_labels(tmp_path / name, cache_dir=tmp_path)
        assert sorted(index.labels.names) == ["1", "true"]


@pytest.mark.parametrize("pair", [("pos", "Pos"), ("a b", "ab"), COFFEE])
def test_labels_that_look_alike_stay_apart_and_are_both_named(pair, tmp_path):
    examples = data.read(write(tmp_path, [("t", pair[0]), ("u", pair[1])]))
    assert set(examples.label_names) == set(pair)
    [note] = examples.notes
    assert "differ only in case, space or form" in note
    first, second = (ascii(name) for name in pair)
    assert first in note
    assert second in note


def test_names_of_a_split_are_written_as_labels_are():
    letters = data.Examples("l", tuple("abc"), (("1",), ("true",), ("x",)))
    names = {"train": ["1.0"], "valid": ["True"], "test": ["x"]}
    assert split_by_names(letters, names).train.texts == ("a",)


def test_texts_given_twice_are_counted_within_and_across_classes(tmp_path):
    rows = [("Hi", "a"), ("hi ", "a"), ("hi", "b"), ("ho", "b"), ("he", "b")]
    within, across = data.read(write(tmp_path, rows)).notes
    assert "1 text repeats another one of the same label" in within
    assert "1 text occurs under different labels, such as 'Hi' under 'a' and 'b'" in (
        across
    )
    assert data.read(write(tmp_path, rows[2:])).notes == ()


def crowded(kind):
    """Ten texts per class, half of which occur in all classes, in different case."""
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for number, label in enumerate("abcd"):
        for n in range(10):
            shared = f"shared {n}" if n % 2 else f"{label} {n}"
            texts.append(shared.upper() if (n + number) % 3 else shared + " ")
            labels.append(label)
    examples = data.Examples("crowded", tuple(texts), tuple((x,) for x in labels))
    numbers = dataclasses.replace(
        examples, labels=((),) * 40, targets=tuple(rng.normal(size=40).tolist())
    )
    return {
        "classes": lambda: data.EpisodeSampler(examples, 3, 2, 3),
        "none": lambda: WithNone(data.EpisodeSampler(examples, 3, 2, 3), 0.2),
        "labels": lambda: MultiLabelSampler(examples, 3, 2, 3),
        "numbers": lambda: NumberSampler(numbers, 8, 8),
    }[kind]()


@pytest.mark.parametrize("kind", ["classes", "none", "labels", "numbers"])
def test_equal_texts_are_on_one_side_of_an_episode(kind):
    sampler = crowded(kind)
    examples = (sampler.sampler if kind == "none" else sampler).examples

    def keys(rows):
        return {" ".join(examples.texts[row].lower().split()) for row in rows}

    for index in range(60):
        episode = sampler.episode(0, index)
        assert not keys(episode.support) & keys(episode.query)
        assert len(episode.query) == len(episode.query_targets) > 0
        if kind == "classes":
            for row, target in zip(episode.query, episode.query_targets, strict=True):
                label = examples.label_names[episode.classes[target]]
                assert examples.labels[row] == (label,)


def test_variants_keep_equal_texts_on_one_side():
    """With variants that equal each other or other texts up to case or white space."""
    rng = np.random.default_rng(0)
    texts = tuple(f"{label} {n}" for label in "abcd" for n in range(8))
    spellings = [str.upper, str.title, str.lower, lambda text: f" {text} "]
    variants = tuple(
        tuple(spellings[rng.integers(4)](texts[rng.integers(32)]) for _ in range(3))
        for _ in texts
    )
    labels = tuple((text[0],) for text in texts)
    examples = data.Examples("varied", texts, labels, variants=variants)
    varied = Variants.of(examples)
    assert len(varied.texts) > len(texts)
    sampler = WithVariants(data.EpisodeSampler(examples, 4, 4, 4), varied, 0.8)
    for index in range(60):
        episode = sampler.episode(0, index)
        support, query = (
            {" ".join(varied.texts[row].lower().split()) for row in side}
            for side in (episode.support, episode.query)
        )
        assert not support & query
        assert len(support | query) == 32


def test_texts_on_disk_are_equal_up_to_case_and_space_as_well(tmp_path):
    rows = [(text, label) for label in "ab" for text in (f"x {label}", "one", "two")]
    rows += [(text.upper() + " ", label) for text, label in rows]
    index = data.index_labels(write(tmp_path, rows), cache_dir=tmp_path)
    held_out = labelled_examples(index, np.arange(2), least=2, most=9, most_labels=9)
    assert len(held_out) == 6
    sampler = data.LabelledTextSampler(index, (np.arange(2),), 2, 1, 1)
    for number in range(40):
        episode = sampler.episode(0, number)
        rows = [*episode.support, *episode.query]
        assert len({index.text(row).lower().strip() for row in rows}) == 4


def test_episodes_without_equal_texts_stay_as_they_are():
    """Only queries that are in the support set are replaced, and all of them are."""
    texts = tuple(f"{n} {c}" for c in "abcd" for n in range(10))
    labels = tuple((text[-1],) for text in texts)
    plain = data.EpisodeSampler(data.Examples("plain", texts, labels), 3, 2, 3)
    one = data.Examples("one", ("0 B", *texts[1:]), labels)  # As text 10, of class b.
    changed = 0
    for index in range(200):
        before = plain.episode(0, index)
        after = data.EpisodeSampler(one, 3, 2, 3).episode(0, index)
        leaks = any(
            a in before.support and b in before.query for a, b in ((0, 10), (10, 0))
        )
        same = np.array_equal(before.query, after.query)
        assert same != leaks
        assert np.array_equal(before.support, after.support)
        assert np.array_equal(before.query_targets, after.query_targets)
        changed += leaks
    assert changed > 0


def test_rare_classes_are_left_out_counted_and_named():
    """By domain, by texts that differ, and label by label."""
    rows = [
        *[(f"a {n}", ("a",), "x") for n in range(3)],
        *[(f"b {n}", ("b", "rare"), "x") for n in range(3)][:2],
        ("b", ("b",), "x"),
        ("B ", ("b", "rarer"), "x"),
        ("c", ("rarer",), "x"),
        ("a y", ("a",), "y"),
        *[(f"b {n}", ("b",), "y") for n in range(3)],
    ]
    texts, labels, domains = zip(*rows, strict=True)
    examples = data.Examples("e", texts, labels, domains)
    kept = without_rare_classes(examples, 3)
    assert [(t, n) for t, n in zip(kept.texts, kept.labels, strict=True)] == [
        (text, tuple(name for name in names if not name.startswith("rare")))
        for text, names, _ in rows
        if text not in ("c", "a y")
    ]
    [note] = kept.notes
    assert note == (
        "e: 3 classes with fewer than 3 different texts, 2 in all: 'rare' of domain 'x'"
        " (2), 'rarer' of domain 'x' (2), 'a' of domain 'y' (1); left out."
    )
    assert without_rare_classes(kept, 3) is kept


def test_sentences_with_entities_and_texts_on_disk_are_on_one_side(tmp_path):
    texts = [f"{'X' if n % 2 else 'x'} {n // 2}" for n in range(16)]
    gold = tuple((Entity(0, 1, "t"),) for _ in texts)
    sentences = data.Examples("s", tuple(texts), (("t",),) * 16, targets=gold)
    entities = EntitySampler(sentences, way=1, shot=2, queries=2)
    rows = [(text, label) for text in texts for label in ("a", "b")]
    index = data.index_labels(write(tmp_path, rows), cache_dir=tmp_path)
    on_disk = data.LabelledTextSampler(index, (np.arange(2),), 2, 1, 1)
    for number in range(20):
        for sampler, text in ((entities, texts.__getitem__), (on_disk, index.text)):
            episode = sampler.episode(0, number)
            support, query = (
                {text(row).lower() for row in rows.tolist()}
                for rows in (episode.support, episode.query)
            )
            assert not support & query


def test_out_of_scope_texts_are_not_in_scope_in_another_case(tmp_path):
    path = tmp_path / "oos.csv"
    path.write_text("text\nWhat is love\n")
    with pytest.raises(ValueError, match="'What is love' have a class"):
        out_of_scope_texts(path, ["what is  love"])


def test_too_few_texts_that_differ_in_more_than_case_are_refused():
    texts = ("a", "A", "A ", "b", "c", "d")
    examples = data.Examples("few", texts, tuple((x,) for x in "aaabbb"))
    with pytest.raises(ValueError, match=r"'a' \(1\)"):
        data.EpisodeSampler(examples, 2, 1, 1)
