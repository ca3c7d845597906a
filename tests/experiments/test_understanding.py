"""Tests that pairs, likeness and relations run in miniature, baselines beside them."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests


@pytest.fixture
def small(tmp_path, monkeypatch):
    """From an experiment's config to one of a step and a tiny network."""
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    vocabulary = (*worlds.VOCABULARY, *worlds.MARKERS)

    def shrunk(name, **episodes):
        config = config_lib.load_file(scripts.EXPERIMENTS / name / "config.py")
        bert = worlds.save_bert(tmp_path / "bert", vocabulary=vocabulary)
        return dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, model=str(bert)),
            data=dataclasses.replace(config.data, max_length=worlds.POSITIONS),
            episodes=dataclasses.replace(config.episodes, **episodes),
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )

    with worlds.apart(tmp_path):
        yield shrunk


def silent():
    return Console(file=io.StringIO())


def results(path):
    return json.loads(path.read_text())


def sentences(count, seed=0):
    rng = np.random.default_rng(seed)
    return worlds.texts([], count, rng)


def test_likeness_runs_in_miniature(small, tmp_path):
    folder = tmp_path / "data" / "stsb"
    folder.mkdir(parents=True)
    config = small("likeness", shot=4, queries=4)
    sources = [s for names in config.data.split_names.values() for s in names]
    rows = [
        {"text": a, "text_pair": b, "source": source, "score": float(n % 5)}
        for source in sources
        for n, (a, b) in enumerate(
            zip(sentences(20), sentences(20, seed=1), strict=True)
        )
    ]
    worlds.write_jsonl(folder / "train.jsonl", rows)
    script = scripts.load("likeness")
    run_dir = tmp_path / "runs"
    script.likeness(config, run_dir, silent(), num_test=3, num_valid=2)
    found = results(run_dir / "baselines.json")
    assert set(found["intervals"]) == {"frozen", "fine-tuned", "meta-trained"}
    assert set(found["meta-trained_less"]) == {"frozen", "fine-tuned"}
    assert len(found["chosen"]["frozen"]["valid_scores"]) == len(script.frozen(config))
    cosines = script.by_cosine(config, num_test=3)
    assert cosines.shape == (3,)
    assert np.all(np.abs(cosines) <= 1)


def fewrel(folder):
    folder.mkdir(parents=True)
    names = [f"P{n}" for n in range(24)]
    rows = [
        {
            "tokens": sentence.split(),
            "label": name,
            "head": {"spans": [[0, 1]]},
            "tail": {"spans": [[2, 3]]},
        }
        for number, name in enumerate(names)
        for sentence in sentences(12, seed=number)
    ]
    worlds.write_jsonl(folder / "wiki.jsonl", rows)
    split = {"train": names[:13], "valid": names[13:18], "test": names[18:]}
    (folder / "splits.json").write_text(json.dumps(split))


def test_relations_run_in_miniature(small, tmp_path):
    fewrel(tmp_path / "data" / "fewrel")
    config, script = small("relations"), scripts.load("relations")
    runs = tmp_path / "runs"
    script.relations(config, runs / "run", silent(), num_test=3, num_valid=2)
    for shot in (1, 5):
        found = results(runs / "run" / f"shot{shot}.json")
        assert found["episodes"] == 3
        assert set(found["intervals"]) == {"frozen", "fine-tuned", "meta-trained"}
        tried = found["chosen"]["fine-tuned"]["valid_scores"]
        assert len(tried) == 4  # Two poolings, two rates.
    script.NONE_LOGITS = (0.0,)
    config = script.with_none(config)
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, steps=1)
    )
    script.none_of_the_above(config, runs / "none", silent(), num_test=3, num_valid=2)
    found = results(runs / "none" / "baselines.json")
    for baseline in ("frozen", "fine-tuned"):
        assert "none_recall" in found["meta-trained_less"][baseline]


def pairs_folder(data):
    def pairs(count):
        return zip(sentences(count), sentences(count, seed=1), strict=True)

    for name in ("stsb", "subjqa", "leopard/scitail"):
        (data / name).mkdir(parents=True)
    sources = ("MSRvid", "headlines", "images", "MSRpar", "deft-forum")
    sources += ("deft-news", "answer-answer", "track5.en-en")
    scores = [
        {"text": a, "text_pair": b, "source": source, "score": (1.0, 3.5, 5.0)[n % 3]}
        for source in sources
        for n, (a, b) in enumerate(pairs(45))
    ]
    for part in ("train", "valid", "test"):
        worlds.write_jsonl(data / "stsb" / f"{part}.jsonl", scores)
    questions = [
        {"question": a, "context": b, "domain": domain, "answers": [{}] * (n % 2)}
        for domain in ("electronics", "grocery", "restaurants", "books")
        for n, (a, b) in enumerate(pairs(40))
    ]
    worlds.write_jsonl(data / "subjqa" / "examples.jsonl", questions)

    def labelled(count):
        return [
            {"text": a, "text_pair": b, "label": ("entails", "neutral")[n % 2]}
            for n, (a, b) in enumerate(pairs(count))
        ]

    train = [
        {**row, "id": f"scitail-{shot}-{number}-{n}"}
        for shot in (4, 8, 16)
        for number in range(2)
        for n, row in enumerate(labelled(2 * shot))
    ]
    folder = data / "leopard" / "scitail"
    worlds.write_jsonl(folder / "train_episodes.jsonl", train)
    rows = [{**row, "id": f"scitail-eval-{n}"} for n, row in enumerate(labelled(60))]
    worlds.write_jsonl(folder / "eval.jsonl", rows)


def test_pairs_run_in_miniature(small, tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    pairs_folder(data)
    config, script = small("pairs"), scripts.load("pairs")
    script.FINE_TUNED_QUERIES = 20
    table = script.pairs(config, data, runs, silent(), num_valid=2)
    rows = worlds.read_jsonl(runs / "pairs.jsonl")
    # Scores between the two thresholds are left out.
    likeness = [row for row in rows if row["domain"].startswith("stsb/")]
    assert len(likeness) == 3 * 8 * 30
    assert {row["label"] for row in rows} == {
        *("same", "different", "answerable", "unanswerable", "entails", "neutral")
    }
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| 4", "| 8", "| 16"]
    assert "over 6 training sets" in table
    every = script.published.read(data / "leopard" / "scitail")
    assert every.shots == (4, 4, 8, 8, 16, 16)
    assert [len(e.support) for e in every.episodes] == [8, 8, 16, 16, 32, 32]
    assert {len(e.query) for e in every.episodes} == {60}
