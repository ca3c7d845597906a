"""Tests of meta-training on labelled texts on disk."""

import itertools
import json

import chex
import numpy as np
import pytest

from metaflax import cli, data
from metaflax import config as config_lib
from metaflax.config._files import to_json
from metaflax.workflows import RunDirectory, load_run
from metaflax.workflows.runs import _labelled_on_disk
from tests.workflows import worlds

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("on_disk") / "run"
    options = {"steps": 30, "eval_every": 15, "tasks_per_step": 4}
    options |= {"valid_episodes": 20, "test_episodes": 40, "learning_rate": 1e-2}
    ranges = {"train_way": (2, 4), "train_shot": (1, 3), "train_queries": 3}
    worlds.run(*world.train_args(run_dir, on_disk=True, **options, **ranges))
    return run_dir


def settings(args):
    return cli.parse([str(arg) for arg in args]).settings


def run_of(world, tmp_path, **options):
    return load_run(settings(world.train_args(tmp_path, **options)))


def classes_of(run):
    """The classes of each split."""
    names = run.train.sampler.index.labels.names
    return {
        "train": {names[n] for group in run.train.sampler.groups for n in group},
        "valid": set(run.splits.valid.label_names),
        "test": set(run.splits.test.label_names),
    }


def test_meta_training_from_disk_raises_accuracy_on_unseen_classes(trained):
    results = json.loads((trained / "results.json").read_text())
    risen = results["paired_difference_from_before"]["after"]["accuracy"]
    assert risen["mean"] - risen["half_width"] > 0.05
    run = load_run(RunDirectory(trained).config())
    assert classes_of(run) == {k: set(names) for k, names in worlds.SPLIT.items()}
    assert len(run.splits.train) == 0  # Nothing of it is in memory.


def test_no_training_episode_has_a_class_of_another_split(trained):
    run = load_run(RunDirectory(trained).config())
    sampler = run.train.sampler
    held_out = {*worlds.SPLIT["valid"], *worlds.SPLIT["test"]}
    for episode in data.fixed_list(sampler, 0, 200):
        for row in (*episode.support.tolist(), *episode.query.tolist()):
            assert not held_out & set(sampler.text(row, 0).split())


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


@pytest.mark.parametrize("split_seed", [0, 1])
def test_a_seed_splits_the_classes_that_it_splits_in_memory(
    split_seed, world, tmp_path
):
    options = {"split_file": None, "split_seed": split_seed}
    run = run_of(world, tmp_path, on_disk=True, **options)
    usual = run_of(world, tmp_path, **options)
    assert classes_of(run) == {
        split: set(getattr(usual.splits, split).label_names)
        for split in ("train", "valid", "test")
    }
    # A class has 20 texts, fewer than are held out at most.
    for split in ("valid", "test"):
        own, other = getattr(run.splits, split), getattr(usual.splits, split)
        pairs = [set(zip(e.texts, e.labels, strict=True)) for e in (own, other)]
        assert pairs[0] == pairs[1]
    assert run.train.num_texts == len(usual.splits.train)


def test_held_out_classes_are_as_many_as_episodes_have_use_for(
    world, tmp_path, monkeypatch
):
    monkeypatch.setattr(_labelled_on_disk, "MOST_CLASSES", 2)
    monkeypatch.setattr(_labelled_on_disk, "TEXTS", 7)
    sizes = {"way": 2, "shot": 2, "queries": 3}
    run = run_of(world, tmp_path, on_disk=True, **sizes)
    for split in ("valid", "test"):
        examples = getattr(run.splits, split)
        assert len(examples.label_names) == 2
        assert len(examples) == 14
    sizes = {"way": 3, "shot": 5, "queries": 5}
    run = run_of(world, tmp_path, on_disk=True, **sizes)
    assert len(run.splits.test.label_names) == 3
    assert len(run.splits.test) == 30


def test_classes_with_too_few_texts_are_left_out_and_counted(world, tmp_path):
    rows = [*worlds.records(), *worlds.records(["filler00"], count=4)]
    source = worlds.write_jsonl(tmp_path / "rare.jsonl", rows)
    split = {**worlds.SPLIT, "train": [*worlds.SPLIT["train"][:5], "filler00"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    run = run_of(world, tmp_path, on_disk=True, data=source,
                 split_file=tmp_path / "split.json")  # fmt: skip
    assert classes_of(run)["train"] == set(split["train"][:5])
    said = "100 texts of 5 classes on disk, 1 with too few texts left out"
    assert run.train.summary("label") == said
    assert run.splits.num_unused == 20  # Of topic05, which no split names.


def test_a_resumed_run_draws_the_tasks_of_one_that_was_not_interrupted(world, tmp_path):
    run = run_of(world, tmp_path, on_disk=True, train_way=("2", "4"))
    whole = list(itertools.islice(run.train.stream(0, 0, 2), 4))
    resumed = next(run.train.stream(0, 3, 2))
    chex.assert_trees_all_equal(whole[3], resumed)
    assert not np.array_equal(whole[2].query.inputs.ids, whole[3].query.inputs.ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "on_disk does not go with the task type"),
        ({"domain": "d"}, "domain is 'd', which does not go with on_disk"),
        ({"split_by": "domain"}, "split_by is 'domain', which does not go with"),
        ({"unlabelled": "drop"}, "unlabelled is 'drop', which does not go with"),
        ({"variants": "v"}, "variants is 'v', which does not go with on_disk"),
        ({"data": "scored-texts"}, "leave on_disk out"),
        ({"data": ""}, "no data is named"),
        ({"data": "none.jsonl"}, "none.jsonl: no such file"),
        ({"label": "of"}, "topics.jsonl:1: no column 'of'"),
        ({"train_way": 7}, "topics.jsonl (train): of 6 classes 6 have the 5 different"
         " texts that an episode needs of each of its 7"),
        ({"train_queries": 19}, "topics.jsonl (train): of 6 classes 0 have the 21"),
        ({"way": 4}, "topics.jsonl (valid): of 3 classes 3 have the 5 different texts"),
        ({"queries": 30}, "topics.jsonl (valid): of 3 classes 0 have the 32 different"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_before_anything_is_compiled(
    options, message, world, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        "jax.stages.Lowered.compile", lambda *_: pytest.fail("compiled")
    )
    args = world.train_args(tmp_path / "run", on_disk=True)
    args += worlds.arguments(options)  # The last of two counts.
    assert cli.main([str(arg) for arg in args]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_names_that_do_not_occur_are_refused(world, tmp_path, capsys):
    names = {"train": ["topic00", "gone"], "valid": ["topic01"], "test": ["topic02"]}
    (tmp_path / "split.json").write_text(json.dumps(names))
    args = world.train_args(tmp_path / "run", on_disk=True,
                            split_file=tmp_path / "split.json")  # fmt: skip
    assert cli.main([str(arg) for arg in args]) == 2
    assert "train names 'gone', which no example of" in capsys.readouterr().err


def test_a_mixture_takes_it_as_a_member(world):
    member = config_lib.DataConfig(str(world.data), on_disk=True)
    config = config_lib.MixtureConfig(
        members={"topics": config_lib.TaskMember(member)},
    )
    config_lib.check_mixture(config)
    text = to_json(config)
    assert config_lib.from_json(text, config_lib.MixtureConfig) == config
