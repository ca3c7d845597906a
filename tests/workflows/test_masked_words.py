"""Tests that meta-training on raw text learns, and makes runs like any other.

In the made-up language each name has a companion word among filler: the companion tells
the masked name, once a network ignores the filler. Test words have other companions
than training words.
"""

import itertools
import json

import chex
import numpy as np
import pytest

from metaflax import cli, data
from metaflax.data.raw_text._smlmt import masked_examples
from metaflax.workflows import RunDirectory, load_run
from tests.workflows import worlds

PAIRS = tuple((f"name{n:02}", f"fellow{n:02}") for n in range(30))
VOCABULARY = (*worlds.SPECIAL, *(w for pair in PAIRS for w in pair), *worlds.FILLER)
OPTIONS = {
    "task": "smlmt",
    "split_file": None,
    "word_bands": (10, 40),
    "way": 3,
    "shot": 2,
    "queries": 3,
}


def sentences(count=20, seed=0):
    rng = np.random.default_rng(seed)
    return [text for pair in PAIRS for text in worlds.texts(pair, count, rng)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    text = folder / "raw.txt"
    text.write_text("\n".join(sentences()))
    return text, worlds.save_bert(folder / "bert", vocabulary=VOCABULARY)


def train_args(world, raw, run_dir, **options):
    text, bert = raw
    return world.train_args(run_dir, data=text, **{"model": bert, **OPTIONS, **options})


RANGES = {"train_way": (2, 4), "train_shot": (1, 3), "train_queries": 3}


@pytest.fixture(scope="module")
def trained(world, raw, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("smlmt") / "run"
    worlds.run(*train_args(world, raw, run_dir, **RANGES))
    return run_dir


@pytest.mark.slow
def test_meta_training_on_masked_words_raises_accuracy_on_unseen_words(
    world, raw, tmp_path
):
    run_dir = tmp_path / "run"
    options = {"steps": 60, "eval_every": 20, "tasks_per_step": 4}
    options |= {"valid_episodes": 20, "test_episodes": 40, "learning_rate": 1e-2}
    worlds.run(*train_args(world, raw, run_dir, **options, **RANGES))
    results = json.loads((run_dir / "results.json").read_text())
    risen = results["paired_difference_from_before"]["after"]["accuracy"]
    assert risen["mean"] - risen["half_width"] > 0.05


def test_words_of_the_three_splits_are_different_words(trained):
    run = load_run(RunDirectory(trained).config())
    names = run.train.sampler.index.words.names
    words = [
        {names[n] for group in run.train.sampler.groups for n in group.tolist()},
        set(run.splits.valid.label_names),
        set(run.splits.test.label_names),
    ]
    assert all(words)
    assert sum(map(len, words)) == len(set().union(*words))
    assert not set().union(*words) & set(worlds.FILLER)  # They are too frequent.
    for examples in (run.splits.valid, run.splits.test):
        together = set(examples.label_names)
        for text in examples.texts:
            assert text.count("[MASK]") == 1
            assert not together & set(text.split())


def test_evaluate_adapt_and_predict_take_its_run_like_any_other(trained, tmp_path):
    worlds.run("evaluate", trained, "--name", "wider", "--shot", 5,
               "--export-episodes", 1, "--test-episodes", 20,
               "--baselines", "frozen")  # fmt: skip
    scores = worlds.read_jsonl(trained / "wider.episodes.jsonl")[1]
    folder = trained / "wider.episode1"
    model, out = tmp_path / "model", tmp_path / "out.jsonl"
    worlds.run("adapt", "--support", folder / "support.jsonl", "--out", model,
               "--run", trained)  # fmt: skip
    worlds.run("predict", "--model", model, "--texts", folder / "query.jsonl",
               "--out", out)  # fmt: skip
    query, answers = (worlds.read_jsonl(p) for p in (folder / "query.jsonl", out))
    right = [a["label"] == q["label"] for a, q in zip(answers, query, strict=True)]
    assert scores["after"]["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)


def test_a_run_adapts_to_labelled_texts_without_masks(trained, tmp_path):
    records = worlds.records(worlds.FILLER[:2], count=3)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", records)
    worlds.run("adapt", "--support", support, "--out", tmp_path / "model", "--run",
               trained)  # fmt: skip
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(config["label2id"]) == set(worlds.FILLER[:2])


@pytest.mark.parametrize(
    "algorithm",
    [pytest.param(n, marks=pytest.mark.slow) for n in ("leopard", "fomaml")],
)
def test_it_runs_with_algorithms_that_take_steps(algorithm, world, raw, tmp_path):
    options = {"inner_learning_rate": 0.1, "num_steps": 2, "word_clusters": 3}
    worlds.run(*train_args(world, raw, tmp_path / "run", algorithm=algorithm,
                           **options))  # fmt: skip
    assert RunDirectory(tmp_path / "run").finished


def test_a_resumed_run_draws_the_tasks_of_one_that_was_not_interrupted(
    world, raw, tmp_path
):
    args = train_args(world, raw, tmp_path, train_way=("2", "4"))
    run = load_run(cli.parse([str(arg) for arg in args]).settings)
    whole = list(itertools.islice(run.train.stream(0, 0, 2), 4))
    resumed = next(run.train.stream(0, 3, 2))
    chex.assert_trees_all_equal(whole[3], resumed)
    assert not np.array_equal(whole[2].query.targets, whole[3].query.targets)


def refused(args, capsys):
    assert cli.main([str(arg) for arg in args]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"way": 25}, "of 600 texts 60 words qualify, which occur in 10 to 39 of them"),
        ({"word_bands": (100, 200)}, "of 600 texts 0 words qualify"),
        ({"shot": 18}, "0 words qualify, which occur in 21 to 39 of them"),
        ({"word_bands": (10,)}, "the edges of frequency bands are (10,)"),
        (
            {"word_clusters": 16, "train_way": 20},
            "and a task takes 20 of one; ask for fewer clusters",
        ),
        ({"word_clusters": 99}, "48 words do not make 99 clusters"),
        ({"domain": "d"}, "leave out domain, split_file, split_names"),
    ],
)
def test_text_too_small_for_the_tasks_is_refused_before_anything_is_compiled(
    options, message, world, raw, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        "jax.stages.Lowered.compile", lambda *_: pytest.fail("compiled")
    )
    err = refused(train_args(world, raw, tmp_path / "run", **options), capsys)
    assert message in err
    assert not (tmp_path / "run").exists()


def test_held_out_words_with_too_few_sentences_of_their_own_are_left_out(tmp_path):
    lines = [f"alpha beta {n}x" for n in range(5)] + [f"gamma {n}x" for n in range(5)]
    (tmp_path / "raw.txt").write_text("\n".join(lines))
    index = data.index_texts(tmp_path / "raw.txt", cache_dir=tmp_path)
    names = list(index.words.names)
    words = np.array([names.index(w) for w in ("alpha", "beta", "gamma")])
    examples = masked_examples(index, words, "_", least=2, most=3)
    assert examples.label_names == ("gamma",)
    assert len(examples) == 3
