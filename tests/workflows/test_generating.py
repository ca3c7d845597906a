"""Tests that texts are generated, from meta-training to `predict`.

Each run trains for real on a made-up language. What is to be said of a text are two
words of its domain, which only the support set tells, and one that a word of the text
stands for in all domains, which meta-training tells. The words of a domain never seen
are those of others, in another pair.
"""

import json
import math

import numpy as np
import pytest

from metaflax import metrics, workflows
from tests.workflows import worlds

ASKS = {f"ask{i}": f"answer{i}" for i in range(4)}


def said(topic, ask):
    number = worlds.TOPICS.index(topic)
    return f"lead{number % 4} says tail{(number // 4 + number) % 3} {ASKS[ask]}"


def pair_rows(count=30, seed=0, topics=worlds.TOPICS):
    rng = np.random.default_rng(seed)
    rows = []
    for topic in topics:
        for _ in range(count):
            ask = str(rng.choice(list(ASKS)))
            words = rng.permutation([ask, *rng.choice(worlds.FILLER, 4)])
            text = " ".join(words)
            rows.append({"text": text, "target": said(topic, ask), "domain": topic})
    return rows


def new_model(folder, family):
    texts = [row[key] for row in pair_rows(2) for key in ("text", "target")]
    return workflows.new_language_model(
        folder / family,
        texts,
        family=family,
        vocab_size=340,
        width=32,
        heads=2,
        layers=1,
        positions=worlds.POSITIONS,
        dropout=0.0,
    )


FAMILIES = ("seq2seq", "gpt")
KINDS = {"translation": "seq2seq"}
every = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """A run of each task type that learnt something."""
    folder = tmp_path_factory.mktemp("generating")
    made = {}

    def run(kind, **more):
        name = "-".join([kind, *map(str, more.values())])
        if name not in made:
            family = KINDS[kind]
            if not (folder / family).exists():
                new_model(folder, family)
            data = worlds.write_jsonl(folder / f"{kind}.jsonl", pair_rows())
            made[name] = folder / name
            settings = {
                "task": kind,
                "model": folder / family,
                "domain": "domain",
                "split_by": "domain",
                "max_length": 32,
                "max_target_length": 12,
                "algorithm": "fomaml",
                "inner_optimizer": "sgd",
                "inner_learning_rate": 0.3,
                "num_steps": 3,
                "shot": 4,
                "queries": 4,
                "steps": 100,
                "eval_every": 50,
                "valid_episodes": 8,
                "test_episodes": 12,
                "tasks_per_step": 4,
                "learning_rate": 1e-2,
            }
            worlds.run(*world.train_args(made[name], data=data, **(settings | more)))
        return made[name]

    return run


def risen(run_dir, metric):
    """By how much a metric rose, at the lower end of its interval."""
    results = json.loads((run_dir / "results.json").read_text())
    difference = results["paired_difference_from_before"]["after"][metric]
    return difference["mean"] - difference["half_width"]


@every
def test_meta_training_helps_to_speak_of_what_it_never_saw(kind, runs):
    assert risen(runs(kind), "log_likelihood") > 0.5
    assert risen(runs(kind), "chrf") > 10


def adapted_and_answered(run_dir, number, tmp_path):
    """An episode's line of scores, its queries, and what `predict` says of them."""
    name = ("--name", "exported", "--export", number)
    worlds.run("evaluate", run_dir, *name)
    scores = worlds.read_jsonl(run_dir / "exported.episodes.jsonl")[number]
    folder = run_dir / f"exported.episode{number}"
    model, out = tmp_path / "model", tmp_path / "out.jsonl"
    support, query = folder / "support.jsonl", folder / "query.jsonl"
    worlds.run("adapt", "--support", support, "--out", model, "--run", run_dir)
    worlds.run("predict", "--model", model, "--texts", query, "--out", out)
    return scores["after"], worlds.read_jsonl(query), worlds.read_jsonl(out)


@every
def test_adapt_and_predict_repeat_the_score_of_an_exported_episode(
    kind, runs, tmp_path
):
    scores, query, answers = adapted_and_answered(runs(kind), 1, tmp_path)
    assert [a["text"] for a in answers] == [q["text"] for q in query]
    said = [answer["generated"] for answer in answers]
    found = metrics.chrf(said, [row["target"] for row in query])
    assert found == pytest.approx(scores["chrf"], abs=1e-3)
    assert all(math.isfinite(a["score"]) and a["score"] < 0 for a in answers)
