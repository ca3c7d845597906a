"""Tests of generating, indexing and sampling labelled texts at scale, in miniature."""

import pytest

from metaflax import data
from tests.experiments import scripts

pytestmark = [scripts.beside_tests, pytest.mark.usefixtures("minilm")]


@pytest.fixture
def script():
    return scripts.load("scale")


@pytest.mark.parametrize("format", ["jsonl", "parquet", "arrow"])
def test_texts_of_any_format_are_made_and_indexed(script, tmp_path, format):
    source = script.Source(tmp_path, 2000, 40, format)
    made = script.run_stage("make", source, 0.1)
    assert (made["rows"], made["classes"]) == (2000, 40)
    found = script.run_stage("index", source, 0.1)
    assert (found["texts"], found["labels"]) == (2000, 40)
    index = script.indexed(source)
    assert index.labels.counts.tolist() == [50] * 40
    synthetic = scripts.load("scale", "synthetic")
    texts, labels = next(synthetic.chunks(source))
    for number, name in enumerate(index.labels.names):
        expected = [t for t, own in zip(texts, labels, strict=True) if own == name]
        assert list(map(index.text, index.labels.rows(number).tolist())) == expected


def test_episodes_are_drawn_and_a_table_shows_it(script, tmp_path):
    source = script.Source(tmp_path, 2000, 40)
    stages = ("make", "index", "open", "batches")
    found = {stage: script.run_stage(stage, source, 0.2) for stage in stages}
    assert found["open"]["episodes"] >= 1  # How many in 0.2 s is the load's to say.
    assert found["batches"]["episodes"] >= script.TASKS
    # The operating system measures the two at different moments.
    most, after = (
        found["open"][n] for n in ("most_resident_mib", "resident_mib_after")
    )
    assert most >= 0.99 * after
    lines = script.table(found).splitlines()
    assert len(lines) == 2 + sum(map(len, found.values()))
    assert "| make | rows | 2,000 |" in lines


def test_readers_share_out_the_episodes_of_one(script, tmp_path):
    source = script.Source(tmp_path, 2000, 40)
    script.make(source, 0)
    sampler = script.sampler_of(script.indexed(source))
    hashes = [data.protocol_hash([sampler.episode(0, n)]) for n in range(8)]
    assert script.drawn(source, 1, 4, 2) == [(1, hashes[1]), (5, hashes[5])]
    assert script.drawn(source, 0, 2, 4) == [(n, hashes[n]) for n in (0, 2, 4, 6)]
