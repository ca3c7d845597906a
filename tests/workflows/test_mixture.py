"""Tests that one encoder learns tasks of several kinds at once.

In the made-up language the class of a text is one of its words; in raw text each name
has a companion; both share their filler, which an encoder learns to ignore.
"""

import dataclasses
import io
import json
import math
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from metaflax import _meta_gradient, cli, models, training, workflows
from metaflax import config as config_lib
from metaflax.config import (
    AlgorithmConfig,
    DataConfig,
    EpisodeConfig,
    MixtureConfig,
    ShareConfig,
    TaskMember,
    TextMember,
)
from metaflax.config._files import to_json
from metaflax.config._mixture import run_of
from metaflax.models.families._registry import load_masked_lm
from metaflax.workflows import RunDirectory
from metaflax.workflows.runs import _trained
from tests.workflows import worlds
from tests.workflows.test_masked_words import PAIRS, sentences
from tests.workflows.test_understanding import pair_rows

pytestmark = pytest.mark.thorough

VOCABULARY = (*worlds.VOCABULARY, *(word for pair in PAIRS for word in pair))
SIZES = EpisodeConfig(way=3, shot=2, queries=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and data of every kind."""
    folder = tmp_path_factory.mktemp("mixture")
    worlds.save_bert(folder / "bert", vocabulary=VOCABULARY)
    worlds.write_jsonl(folder / "topics.jsonl", worlds.records())
    worlds.write_jsonl(folder / "pairs.jsonl", pair_rows())
    raw = np.random.default_rng(0).permutation(sentences())
    (folder / "raw.txt").write_text("\n".join(raw))
    return folder


def topics(folder, *, episodes=SIZES, algorithm="protonet", **settings):
    texts = DataConfig(
        str(folder / "topics.jsonl"),
        split_names=worlds.SPLIT,
        max_length=worlds.POSITIONS,
    )
    learned = AlgorithmConfig(algorithm, inner_learning_rate=0.1, num_steps=1)
    return TaskMember(texts, episodes, learned, **settings)


def pairs(folder, algorithm="ridge", **settings):
    texts = DataConfig(
        str(folder / "pairs.jsonl"),
        "pair_classification",
        split_names=worlds.SPLIT,
        max_length=worlds.POSITIONS,
    )
    sizes = dataclasses.replace(SIZES, way=2)
    return TaskMember(texts, sizes, AlgorithmConfig(algorithm), **settings)


def words(folder, **settings):
    texts = DataConfig(
        str(folder / "raw.txt"), "smlmt", word_bands=(10, 40), max_length=24
    )
    sizes = dataclasses.replace(SIZES, train_way=(2, 4), train_shot=(1, 2))
    return TaskMember(texts, sizes, AlgorithmConfig("matching"), **settings)


def masked(folder, **settings):
    text = config_lib.RawTextConfig(str(folder / "raw.txt"), length=24, held_out=0.2)
    rows = {"rows_per_step": 16, "valid_rows": 40}
    return TextMember(text, **(rows | settings))


def mixture(folder, members, steps=4, **settings):
    loop = {
        "tasks_per_step": 2,
        "eval_every": 2,
        "valid_episodes": 4,
        "learning_rate": 1e-2,
        "dropout": False,
        "patience": None,
    }
    return MixtureConfig(
        model=config_lib.ModelConfig(str(folder / "bert")),
        members=members,
        training=config_lib.TrainingConfig(steps=steps, **(loop | settings)),
        evaluation=config_lib.EvaluationConfig(test_episodes=4, batch_episodes=4),
    )


class Counted:
    """A jitted step that records its compilations."""

    def __init__(self, step, compiled):
        self._step, self._compiled = step, compiled

    def lower(self, state, tasks):
        shapes = tuple(x.shape for x in jax.tree.leaves(tasks))
        self._compiled.append((id(self), shapes))
        return self._step.lower(state, tasks)


@pytest.fixture(scope="module")
def mixed(folder, tmp_path_factory):
    """A meta-trained run of four kinds of tasks, and its compilations."""
    run_dir = tmp_path_factory.mktemp("mixed") / "run"
    members = {
        "topics": topics(folder, share=ShareConfig(weight=1.0)),
        "pairs": pairs(folder, share=ShareConfig(weight=2.0)),
        "words": words(folder, share=ShareConfig(weight=2.0)),
        "masked": masked(folder, share=ShareConfig(weight=2.0, loss_weight=0.5)),
    }
    config = mixture(folder, members, steps=120, tasks_per_step=4, eval_every=60,
                     valid_episodes=20)  # fmt: skip
    wanted = dataclasses.replace(config.evaluation, test_episodes=40)
    config = dataclasses.replace(config, evaluation=wanted)
    (run_dir.parent / "config.json").write_text(to_json(config))
    file = run_dir.parent / "config.py"
    file.write_text(
        "from pathlib import Path\n"
        "from metaflax.config import MixtureConfig, from_json\n"
        f"config = from_json(Path({str(run_dir.parent / 'config.json')!r}).read_text(),"
        " MixtureConfig)\n"
    )
    compiled, make_step = [], training.make_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training,
            "make_step",
            lambda *args, **kwargs: Counted(make_step(*args, **kwargs), compiled),
        )
        worlds.run("mix", "--config", file, "--run-dir", run_dir)
    return run_dir, compiled


def results_of(run_dir):
    return json.loads((run_dir / "results.json").read_text())


def risen(results, metric):
    """Lower bound of the increase of a metric."""
    found = results["paired_difference_from_before"]["after"][metric]
    return found["mean"] - found["half_width"]


@pytest.mark.parametrize(
    ("member", "metric", "least"),
    [
        ("topics", "accuracy", 0.05),
        ("pairs", "accuracy", 0.05),
        ("words", "accuracy", 0.05),
        ("masked", "log_likelihood", 1.0),
    ],
)
def test_every_member_improves_on_unseen_classes(member, metric, least, mixed):
    run_dir, _ = mixed
    results = results_of(run_dir)["members"][member]
    assert risen(results, metric) > least
    assert results == results_of(run_dir / "members" / member)


def test_masked_words_are_scored_by_perplexity_too(mixed):
    found = results_of(mixed[0])["members"]["masked"]
    assert found["rows"] == 40
    for when, perplexity in found["perplexity"].items():
        likely = found["intervals"][when]["log_likelihood"]["mean"]
        assert math.exp(-likely) == pytest.approx(perplexity)


def test_each_step_trains_one_member_and_validation_logs_all_scores(mixed):
    run_dir, _ = mixed
    records = worlds.read_jsonl(run_dir / "log.jsonl")
    steps = [r["member"] for r in records if "loss" in r]
    assert {n: steps.count(n) for n in set(steps)} == results_of(run_dir)["steps_of"]
    valid = [r for r in records if "valid_score" in r]
    assert [r["step"] for r in valid] == [0, 60, 120]
    scores = results_of(run_dir)["selected_by"]
    for record in valid:
        assert record["valid_score"] == pytest.approx(
            np.mean([record[name] for name in scores])
        )
    best = max(valid, key=lambda r: r["valid_score"])
    assert results_of(run_dir)["best_step"] == best["step"]
    assert results_of(run_dir)["valid_score"] == best["valid_score"]


def test_each_members_step_is_compiled_once_for_each_of_a_few_shapes(mixed):
    run_dir, compiled = mixed
    assert len(compiled) == len(set(compiled))
    costs = {
        path.parent.name: len(json.loads(path.read_text()))
        for path in (run_dir / "members").glob("*/cost.json")
    }
    assert set(costs) == {"topics", "pairs", "words", "masked"}
    assert costs["masked"] == 1
    assert sum(costs.values()) == len(compiled) <= 4 * len(costs)


def test_what_steps_compute_is_known_before(mixed):
    common = pytest.importorskip("experiments.common")
    run_dir, _ = mixed
    config = RunDirectory(run_dir, MixtureConfig).config()
    for name, flops in common.step_flops(config).items():
        cost = json.loads((run_dir / "members" / name / "cost.json").read_text())
        compiled = [record["flops"] for record in cost]
        # The compiler merges some duplicate products.
        assert 0.9 * min(compiled) <= flops <= 1.3 * max(compiled), name


def test_a_member_has_as_many_validation_episodes_as_it_says(folder):
    of_run = mixture(folder, {"topics": topics(folder), "pairs": pairs(folder)})
    own = dataclasses.replace(of_run.members["topics"], valid_episodes=7)
    config = dataclasses.replace(of_run, members={**of_run.members, "topics": own})
    counts = [run_of(config, name).training.valid_episodes for name in config.members]
    assert counts == [7, 4]
    none = {"topics": dataclasses.replace(own, valid_episodes=0)}
    bad = dataclasses.replace(config, members=none)
    with pytest.raises(ValueError, match="member 'topics': valid_episodes is 0"):
        config_lib.check_mixture(bad)


def test_members_are_runs_that_evaluate_adapt_and_predict_take(mixed, tmp_path):
    run_dir, _ = mixed
    member = run_dir / "members" / "pairs"
    worlds.run("evaluate", member, "--name", "again", "--export-episodes", 1)
    again = json.loads((member / "again.json").read_text())
    for method in ("before", "after"):
        found = (
            r["intervals"][method]["accuracy"] for r in (again, results_of(member))
        )
        chex.assert_trees_all_close(*found, rtol=1e-6)
    episode = member / "again.episode1"
    worlds.run("adapt", "--support", episode / "support.jsonl", "--out",
               tmp_path / "model", "--run", member)  # fmt: skip
    worlds.run("predict", "--model", tmp_path / "model", "--texts",
               episode / "query.jsonl", "--out", tmp_path / "out.jsonl")  # fmt: skip
    said, asked = map(
        worlds.read_jsonl, (tmp_path / "out.jsonl", episode / "query.jsonl")
    )
    right = np.mean(
        [s["label"] == a["label"] for s, a in zip(said, asked, strict=True)]
    )
    scores = worlds.read_jsonl(member / "again.episodes.jsonl")[1]
    assert scores["after"]["accuracy"] == pytest.approx(right, abs=1e-6)


def test_its_encoder_is_a_model_like_any_other(mixed, folder, tmp_path):
    run_dir, _ = mixed
    encoder = models.load(run_dir / "model").params
    for member in ("topics", "pairs", "words"):
        own = _trained.load_trained(run_dir / "members" / member).params
        chex.assert_trees_all_equal(own["encoder"], encoder)
    masked_lm = load_masked_lm(run_dir / "members" / "masked" / "model")
    chex.assert_trees_all_equal(masked_lm.params["encoder"], encoder)
    start = models.load(folder / "bert").params
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), encoder,
                         {k: v for k, v in start.items() if k in encoder})  # fmt: skip
    assert any(jax.tree.leaves(moved))
    records = worlds.records(worlds.TOPICS[:2], count=3)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", records)
    worlds.run("adapt", "--support", support, "--out", tmp_path / "adapted", "--model",
               run_dir / "model")  # fmt: skip


def test_a_mixture_itself_is_no_run_and_names_its_members(mixed, capsys):
    run_dir, _ = mixed
    assert cli.main(["evaluate", str(run_dir)]) == 2
    error = capsys.readouterr().err
    assert "holds a mixture; name one of its members" in error
    assert "masked, pairs, topics, words" in error


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(folder, tmp_path):
    even = ShareConfig(weight=1.0)
    members = {
        "topics": topics(folder, algorithm="leopard", share=even),  # Learns rates.
        "masked": masked(folder, rows_per_step=2, share=even),
    }
    config = mixture(folder, members, steps=8, eval_every=4, seed=1, dropout=True)
    run_dir = tmp_path / "run"
    first, again = Console(file=io.StringIO()), Console(file=io.StringIO())
    expected = workflows.mix(config, run_dir, first)
    log = (run_dir / "log.jsonl").read_text()
    whole = _trained.load_trained(run_dir / "members" / "topics").params
    for name in ("results.json", "selected.json", "members/topics/selected.json"):
        (run_dir / name).unlink()
    for name in ("checkpoints/8", "model", "members/topics/checkpoints",
                 "members/masked/model"):  # fmt: skip
        shutil.rmtree(run_dir / name)
    resumed = workflows.mix(config, run_dir, again)
    assert "resuming from step 4" in again.file.getvalue()
    assert resumed | {"seconds": 0} == expected | {"seconds": 0}
    assert (run_dir / "log.jsonl").read_text() == log
    params = _trained.load_trained(run_dir / "members" / "topics").params
    chex.assert_trees_all_equal(params, whole)
    # Both members trained after the checkpoint.
    later = [r["member"] for r in worlds.read_jsonl(run_dir / "log.jsonl")
             if "loss" in r and r["step"] > 4]  # fmt: skip
    assert set(later) == {"topics", "masked"}


@pytest.mark.slow
def test_a_member_of_no_weight_is_tested_and_never_trained(folder, tmp_path, silent):
    members = {
        "topics": topics(folder),
        "unseen": topics(folder, algorithm="leopard", share=ShareConfig(weight=0.0)),
    }
    results = workflows.mix(mixture(folder, members), tmp_path / "run", silent)
    assert results["steps_of"] == {"topics": 4, "unseen": 0}
    assert set(results["members"]) == {"topics", "unseen"}
    costs = tmp_path / "run" / "members" / "unseen" / "cost.json"
    assert json.loads(costs.read_text()) == []
    trained = _trained.load_trained(tmp_path / "run" / "members" / "unseen")
    start = _trained.load_untrained(trained.config, trained.num_classes).params
    for group in ("head", "inner"):
        chex.assert_trees_all_equal(trained.params[group], start[group])


def test_its_encoder_may_stay_nearer_to_the_start(folder, tmp_path, silent):
    shares, distances = (1.0, 0.5), []
    start = models.load(folder / "bert").params["layer_0"]
    for share in shares:
        config = mixture(folder, {"topics": topics(folder)}, 60, eval_every=60,
                         valid_episodes=20, tasks_per_step=4,
                         interpolate=(share,))  # fmt: skip
        run_dir = tmp_path / str(share)
        assert workflows.mix(config, run_dir, silent)["share"] == share
        end = models.load(run_dir / "model").params["layer_0"]
        distances.append(jax.tree.map(lambda a, b: b - a, start, end))
    whole, half = distances
    halved = jax.tree.map(lambda x: x / 2, whole)
    chex.assert_trees_all_close(half, halved, atol=1e-6)
    assert max(np.abs(x).max() for x in jax.tree.leaves(half)) > 1e-5


def test_low_rank_factors_are_folded_into_what_it_leaves(folder, tmp_path, silent):
    config = mixture(folder, {"masked": masked(folder)}, steps=1, warmup=0.0,
                     trains=("*/lora", "head"))  # fmt: skip
    model = dataclasses.replace(config.model, lora_rank=2)
    run_dir = tmp_path / "run"
    workflows.mix(dataclasses.replace(config, model=model), run_dir, silent)
    start, left = (
        models.load(path).params["layer_0"]["attention"]
        for path in (folder / "bert", run_dir / "model")
    )
    chex.assert_trees_all_equal(left["key"], start["key"])
    assert np.all(left["query"]["kernel"] != start["query"]["kernel"])


def test_steps_that_are_not_finite_are_left_out_and_say_whose_they_were(
    folder, tmp_path, silent, monkeypatch
):
    value_and_grad = _meta_gradient.value_and_grad

    def broken_at_step_1(*args, **kwargs):
        fn = value_and_grad(*args, **kwargs)

        def broken(params, tasks, keys, step):
            (loss, info), grads = fn(params, tasks, keys, step)
            return (jnp.where(step == 1, jnp.nan, loss), info), grads

        return broken

    monkeypatch.setattr(_meta_gradient, "value_and_grad", broken_at_step_1)
    config = mixture(folder, {"topics": topics(folder)}, steps=4, max_skipped_steps=1)
    workflows.mix(config, tmp_path / "run", silent)
    records = worlds.read_jsonl(tmp_path / "run" / "log.jsonl")
    [skipped] = [r for r in records if "skipped" in r]
    assert (skipped["step"], skipped["member"]) == (2, "topics")


def test_a_diverging_run_names_the_member_of_the_step(folder, tmp_path, silent):
    members = {"topics": topics(folder)}
    config = mixture(folder, members, learning_rate=1e30, optimizer="sgd",
                     clip_norm=None, warmup=0.0)  # fmt: skip
    with pytest.raises(
        ValueError, match="member 'topics': the meta-loss is not finite"
    ):
        workflows.mix(config, tmp_path / "run", silent)


@pytest.fixture
def refused(folder, tmp_path, silent, monkeypatch):
    """Runs a mixture that must fail before anything is compiled or written."""
    monkeypatch.setattr(
        "jax.stages.Lowered.compile", lambda *_: pytest.fail("compiled")
    )

    def run(members, **settings):
        config = dataclasses.replace(mixture(folder, members), **settings)
        with pytest.raises(ValueError) as error:  # noqa: PT011
            workflows.mix(config, tmp_path / "run", silent)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "run").exists()
        return str(error.value)

    return run


def test_a_file_without_a_mixture_is_refused_in_a_sentence(tmp_path, capsys):
    file = tmp_path / "config.py"
    file.write_text("from metaflax.config import Config\nconfig = Config()\n")
    for path, said in ((file, "MixtureConfig(...)`."), (tmp_path / "no", "no config")):
        args = ["mix", "--config", str(path), "--run-dir", str(tmp_path / "run")]
        assert cli.main(args) == 2
        error = capsys.readouterr().err
        assert error.startswith("metaflax: ")
        assert error.count("\n") == 1
        assert said in error


def renamed(member, file):
    return dataclasses.replace(
        member, data=dataclasses.replace(member.data, path=str(file))
    )


def test_a_set_that_does_not_exist_is_named_with_its_member(refused, folder):
    missing = folder / "nowhere.jsonl"
    error = refused({"topics": topics(folder), "lost": renamed(pairs(folder), missing)})
    assert "member 'lost'" in error
    assert str(missing) in error
    text = config_lib.RawTextConfig(str(folder / "nowhere.txt"), length=24)
    error = refused({"topics": topics(folder), "lost": TextMember(text)})
    assert "member 'lost'" in error
    assert "nowhere.txt" in error


def test_an_unknown_task_type_or_algorithm_is_named_with_its_member(refused, folder):
    sorcery = dataclasses.replace(topics(folder).data, task="sorcery")
    error = refused({"odd": dataclasses.replace(topics(folder), data=sorcery)})
    assert "member 'odd': unknown task 'sorcery'" in error
    error = refused({"odd": topics(folder, algorithm="sorcery")})
    assert "member 'odd': unknown algorithm 'sorcery'" in error
    error = refused({"odd": topics(folder, algorithm="frozen")})
    assert "member 'odd': frozen is a baseline" in error


def test_sizes_that_its_data_cannot_make_are_named_with_the_member(refused, folder):
    wide = dataclasses.replace(SIZES, way=5)
    error = refused({"wide": topics(folder, episodes=wide)})
    assert "member 'wide'" in error
    assert "lower way" in error


def test_rows_longer_than_the_model_are_named_with_the_member(refused, folder):
    text = config_lib.RawTextConfig(str(folder / "raw.txt"), length=64)
    error = refused({"long": TextMember(text)})
    assert "member 'long': length is 64, and the model has 48 positions" in error


def test_a_directory_of_another_mixture_is_not_gone_on_with(mixed, folder, silent):
    config = RunDirectory(mixed[0], MixtureConfig).config()
    share = dataclasses.replace(config.members["topics"].share, weight=9.0)
    other = dataclasses.replace(config.members["topics"], share=share)
    other = dataclasses.replace(config, members={**config.members, "topics": other})
    with pytest.raises(ValueError, match="members.topics.share.weight: 9.0, not 1.0"):
        workflows.mix(other, mixed[0], silent)
