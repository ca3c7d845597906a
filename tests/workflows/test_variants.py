"""Tests that only meta-training uses variants of texts."""

import itertools

import chex
import numpy as np
import pytest

from metaflax import cli
from metaflax.workflows import RunDirectory, load_run
from tests.workflows import worlds

# Words that occur only in variants, two for each word of filler.
KINDS = ("other", "another")
VARIED = tuple(f"{kind}{word}" for kind in KINDS for word in worlds.FILLER)
VOCABULARY = (*worlds.VOCABULARY, *VARIED)


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Each text with its filler replaced, word by word, in two ways."""
    folder = tmp_path_factory.mktemp("varied")
    rows = [
        {**row, "others": [varied_by(kind, row["text"]) for kind in KINDS]}
        for row in worlds.records()
    ]
    bert = worlds.save_bert(folder / "bert", vocabulary=VOCABULARY)
    return worlds.write_jsonl(folder / "data.jsonl", rows), bert


def varied_by(kind, text):
    words = text.split()
    return " ".join(w if w in worlds.TOPICS else f"{kind}{w}" for w in words)


def load(world, varied, tmp_path, **options):
    args = world.train_args(tmp_path, data=varied[0], **{"model": varied[1], **options})
    return load_run(cli.parse([str(arg) for arg in args]).settings)


def batches(run, start=0, count=3):
    return list(itertools.islice(run.train.stream(0, start, 2), count))


def filler_read(run):
    """The filler words in the first batches of meta-training."""
    ids = {int(n) for task in batches(run) for b in task for n in b.inputs.ids.ravel()}
    return {VOCABULARY[n] for n in ids} - {*worlds.SPECIAL, *worlds.TOPICS}


def test_at_rate_0_a_run_reads_what_it_reads_without_variants(world, varied, tmp_path):
    plain = load(world, varied, tmp_path)
    unread = load(world, varied, tmp_path, variants="others", variant_rate=0.0)
    chex.assert_trees_all_equal(batches(plain), batches(unread))


def test_at_rate_1_meta_training_reads_variants_alone(world, varied, tmp_path):
    run = load(world, varied, tmp_path, variants="others", variant_rate=1.0)
    assert filler_read(run) == set(VARIED)
    some = load(world, varied, tmp_path, variants="others")
    assert filler_read(some) == {*VARIED, *worlds.FILLER}


def test_validation_and_test_read_texts_as_they_are(world, varied, tmp_path):
    plain = load(world, varied, tmp_path)
    run = load(world, varied, tmp_path, variants="others", variant_rate=1.0)
    for name in ("valid", "test"):
        expected, found = getattr(plain, name), getattr(run, name)
        assert np.array_equal(found.texts.tokenized.flat, expected.texts.tokenized.flat)
        chex.assert_trees_all_equal(
            next(found.stream(1, 0, 2)), next(expected.stream(1, 0, 2))
        )


def test_a_resumed_run_reads_what_one_that_was_not_interrupted_reads(
    world, varied, tmp_path
):
    run = load(world, varied, tmp_path, variants="others")
    again = load(world, varied, tmp_path, variants="others")
    chex.assert_trees_all_equal(batches(run, count=4)[2:], batches(again, 2, count=2))


def test_variants_are_reported_and_trained_on(world, varied, tmp_path, capsys):
    worlds.run(*world.train_args(tmp_path / "run", data=varied[0], model=varied[1],
                                 variants="others"))  # fmt: skip
    count = 20 * len(worlds.SPLIT["train"])
    said = capsys.readouterr().out
    assert f"meta-train: {count} texts of topic00" in said
    assert f"{2 * count} variants of them" in said
    assert said.count("variants of them") == 1
    assert RunDirectory(tmp_path / "run").finished


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant_rate": 1.5}, "variant_rate is 1.5; give 0 to 1"),
        ({"variants": "other"}, "no column 'other'"),
        (
            {"variants": "others", "task": "relations", "pooling": "entities"},
            "variants do not go with the task type 'relations'",
        ),
        ({"variants": "label"}, "where a list of texts is expected"),
    ],
)
def test_variants_that_cannot_be_read_are_refused(
    options, message, world, varied, tmp_path, capsys
):
    args = world.train_args(
        tmp_path / "run", data=varied[0], model=varied[1], **options
    )
    assert cli.main([str(arg) for arg in args]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
