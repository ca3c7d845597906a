"""Tests of the generation experiments with baselines, in miniature."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks

SIZES = {"vocab_size": 300, "width": 16, "layers": 1, "heads": 2, "positions": 48}
ONE = {"inner_learning_rate": (1e-3,), "num_steps": (1,)}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Function from an experiment's name to its script and a config of one step."""
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))

    def shrunk(name):
        script = scripts.load(name)
        script.LONGER = {"steps": 1, "eval_every": 1}
        script.JOINT = script.SCRATCH = ONE
        script.prepare.SIZES = SIZES
        config = config_lib.load_file(scripts.EXPERIMENTS / name / "config.py")
        script.FIRST = (config.data.split_names or {}).get("train")
        texts = {"max_length": 24, "max_target_length": 16}
        config = dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, **texts),
            episodes=config_lib.EpisodeConfig(shot=2, queries=2),
            algorithm=dataclasses.replace(config.algorithm, num_steps=1),
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=config_lib.EvaluationConfig(test_episodes=12, batch_episodes=12),
        )
        return script, config

    with worlds.apart(tmp_path):
        yield shrunk


def silent():
    return Console(file=io.StringIO())


def sentences(count, seed=0):
    return worlds.texts([], count, np.random.default_rng(seed))


def compared(runs):
    """Scores of each method by domain, after checking both baselines."""
    results = json.loads((runs / "run" / "baselines.json").read_text())
    assert set(results["intervals"]) == {"joint", "from scratch", "meta-trained"}
    assert set(results["meta-trained_less"]) == {"joint", "from scratch"}
    return results["by_domain"]


def tatoeba(folder, config):
    folder.mkdir(parents=True)
    rows = [
        {"src": first, "tgt": second, "pair": pair}
        for names in config.data.split_names.values()
        for pair in names
        for first, second in zip(sentences(6), sentences(6, seed=1), strict=True)
    ]
    worlds.write_jsonl(folder / "pairs.jsonl", rows)
    (folder / "splits.json").write_text(json.dumps(config.data.split_names))


@pytest.mark.slow  # A minute and a half; dialogue has all of it but what picks by chrF.
def test_translation_runs_in_miniature(small, tmp_path):
    script, config = small("translation")
    script.BY_CHRF = {"num_steps": (1, 2), "joint": ONE, "scratch": ONE}
    tatoeba(tmp_path / "data" / "tatoeba_mt", config)
    runs = tmp_path / "runs"
    script.prepare.prepare(tmp_path / "data", runs)
    script.translation(script.prepared(config, runs), runs, silent(), num_valid=2)
    by_domain = compared(runs)
    assert set(by_domain) == set(config.data.split_names["test"])
    scores = by_domain["eng-dan"]["meta-trained_less"]["joint"]
    assert set(scores) == {"log_likelihood", "perplexity", "chrf", "bleu", "loss"}
    by_chrf = json.loads((runs / "run" / "by_chrf.json").read_text())
    tried = by_chrf["chosen"]["meta-trained"]
    best = int(np.argmax(tried["valid_scores"]))
    assert tried["num_steps"] == script.BY_CHRF["num_steps"][best]
    samples = json.loads((runs / "run" / "baselines_samples.json").read_text())
    # The queries of two episodes of each language.
    assert len(samples) == 4 * 2 * 2
    pairs = {
        (row["text"], row["target"]): row["domain"]
        for row in map(json.loads, (runs / "pairs.jsonl").read_text().splitlines())
    }
    assert all((sample["text"], sample["target"]) in pairs for sample in samples)
    assert set(samples[0]["said"]) == {"joint", "from scratch", "meta-trained"}


def texts_to_shorten(data):
    """Texts of each kind, enough for clusters."""
    long = [" ".join(sentences(3, seed=n)) for n in range(90)]
    folders = ("scitldr", "dialogsum", "subjqa", "unlabelled_sentences")
    for name in folders:
        (data / name).mkdir(parents=True)
    rows = [
        {"source": text, "targets": [text[:20]], "title": text[:9]} for text in long
    ]
    worlds.write_jsonl(data / "scitldr" / "examples.jsonl", rows)
    worlds.write_jsonl(data / "dialogsum" / "examples.jsonl", rows)
    names = ("electronics", "grocery", "restaurants", "books")
    reviews = [
        {"context": f"{text}. {text}", "domain": names[n % 4]}
        for n, text in enumerate(long)
    ]
    worlds.write_jsonl(data / "subjqa" / "examples.jsonl", reviews)
    articles = [
        {"text": text, "article": f"article {n}", "id": f"wikitext2-valid-{n}"}
        for n, long_text in enumerate(long)
        for text in [long_text] * 5
    ]
    worlds.write_jsonl(data / "unlabelled_sentences" / "sentences.jsonl", articles)


def by_turns(texts, number):
    return [place % number for place in range(len(texts))]


@pytest.mark.slow  # Its parts are those of the others.
def test_summarization_runs_in_miniature(small, tmp_path, monkeypatch):
    script, config = small("summarization")
    texts_to_shorten(tmp_path / "data")
    runs = tmp_path / "runs"
    # Topics in turn, since topics of random words are too uneven for so few texts.
    monkeypatch.setattr(script.prepare.data, "topics", by_turns)
    script.prepare.prepare(tmp_path / "data", runs)
    workflows.new_language_model(runs / "model", sentences(9), **SIZES)
    script.prepare.new_model(runs)  # There is one already.
    script.summarization(script.prepared(config, runs), runs, silent(), num_valid=2)
    assert set(compared(runs)) == set(config.data.split_names["test"])


def dialogues(data, config):
    for source in ("sgd", "chatterbot"):
        names = [n for ns in config.data.split_names.values() for n in ns]
        rows = [
            {
                "domain": name.split("/")[1],
                "turns": [
                    {"speaker": ("user", "system")[n % 2], "text": text}
                    for n, text in enumerate(sentences(4, seed=seed))
                ],
            }
            for name in names
            if name.startswith(source)
            for seed in range(6)
        ]
        folder = {"sgd": "sgd_dialogue", "chatterbot": "chatterbot_corpus"}[source]
        (data / folder).mkdir(parents=True)
        worlds.write_jsonl(data / folder / "dialogues.jsonl", rows)


@pytest.mark.slow
def test_dialogue_runs_in_miniature(small, tmp_path):
    script, config = small("dialogue")
    dialogues(tmp_path / "data", config)
    runs = tmp_path / "runs"
    held_out = script.prepare.held_out(config)
    assert "sgd/Trains" in held_out
    assert not set(held_out) & set(config.data.split_names["train"])
    script.prepare.prepare(tmp_path / "data", runs, held_out)
    script.dialogue(script.prepared(config, runs), runs, silent(), num_valid=2)
    assert set(compared(runs)) == set(config.data.split_names["test"])


@pytest.mark.slow  # Its parts are those of dialogue.
def test_language_modelling_runs_in_miniature(small, tmp_path):
    script, config = small("language_modelling")
    folder = tmp_path / "data" / "unlabelled_sentences"
    folder.mkdir(parents=True)
    rows = [
        {"text": text, "article": f"{part} {n}", "id": f"wikitext2-{part}-{n}{place}"}
        for part in ("valid", "test")
        for n in range(5)
        for place, text in enumerate(sentences(24, seed=n))
    ]
    rows[0]["article"] = "<unk>"
    rows[24:48] = [{"text": row["text"], "id": "wikisplit-0"} for row in rows[24:48]]
    worlds.write_jsonl(folder / "sentences.jsonl", rows)
    runs = tmp_path / "runs"
    script.prepare.NUM_TOPICS = 1
    script.prepare.prepare(tmp_path / "data", runs)
    splits = json.loads((runs / "splits.json").read_text())
    assert splits["train"] == ["valid 3", "valid 4"]
    assert splits["valid"] == ["valid 2"]
    script.language_modelling(
        script.prepared(config, runs), runs, silent(), num_valid=2
    )
    assert set(compared(runs)) == {f"test {n}" for n in range(5)}
