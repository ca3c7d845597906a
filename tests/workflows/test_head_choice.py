"""Tests that `adapt --head auto` chooses a head by the support set alone."""

import dataclasses
import json

import numpy as np
import pytest

import metaflax
from metaflax import cli, config, models, tasks, workflows
from metaflax.few_shot._examples import examples_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.learning import (
    _choosable_heads,
    _head_choice,
    _held_out_accuracy,
)
from tests.workflows import worlds

FROZEN = config.AlgorithmConfig("frozen")
CLASSES = tasks.classification()


def noisy_means(seed, count, noise=4.0):
    """Two classes that differ in one feature, with another of larger variance."""
    rng = np.random.default_rng(seed)
    targets = np.repeat([0, 1], count)
    features = rng.normal(size=(2 * count, 6)).astype(np.float32) / 8
    features[:, 0] += targets
    features[:, 1] *= 8 * noise
    order = rng.permutation(2 * count)
    return features[order], targets[order]


def test_a_head_that_the_support_set_speaks_for_is_chosen():
    features, targets = noisy_means(0, 24)
    choice = _head_choice.choose_head(features, targets, FROZEN, CLASSES)
    assert choice.accuracy[choice.name] == max(choice.accuracy.values())
    assert choice.accuracy[choice.name] > choice.accuracy["prototypes"] + 0.1
    assert choice.num_folds == 5
    assert set(choice.accuracy) == {"prototypes", *_head_choice.CANDIDATES}
    assert f"head {choice.name}, by accuracy in 5-fold" in str(choice)
    applied, settings = choice.applied(FROZEN), _head_choice.CANDIDATES[choice.name]
    assert (applied.head, applied.strength) == (choice.name, settings["strength"])


def test_where_heads_are_equal_the_default_stays():
    features = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    targets = np.repeat([2, 0, 1], 4)
    for head in (None, "ridge", "gaussian"):
        settings = dataclasses.replace(FROZEN, head=head)
        choice = _head_choice.choose_head(features, targets, settings, CLASSES)
        assert set(choice.accuracy.values()) == {1.0}
        assert choice.name == (head or "prototypes")
        assert choice.is_default
        assert choice.applied(settings) == settings


@pytest.mark.parametrize("head", ["nearest", "soft_k_means"])
@pytest.mark.parametrize("count", [1, 4])
def test_class_means_stand_in_for_a_head_that_cannot_be_chosen(head, count):
    features = np.repeat(np.eye(3, dtype=np.float32), count, axis=0)
    settings = dataclasses.replace(FROZEN, head=head)
    targets = np.repeat([0, 1, 2], count)
    choice = _head_choice.choose_head(features, targets, settings, CLASSES)
    assert (choice.name, choice.is_default) == ("prototypes", False)
    assert choice.applied(settings).head == "prototypes"


def test_accuracies_are_those_of_heads_fitted_without_the_held_out_fold():
    features, targets = noisy_means(1, 3)
    choice = _head_choice.choose_head(features, targets, FROZEN, CLASSES)
    folds = _held_out_accuracy.stratified_folds(targets)
    correct = []
    for fold in range(3):
        held = folds == fold
        assert sorted(targets[held]) == [0, 1]
        means = [features[~held & (targets == n)].mean(axis=0) for n in (0, 1)]
        distances = [((features[held] - mean) ** 2).sum(axis=1) for mean in means]
        correct += list(np.argmin(distances, axis=0) == targets[held])
    assert choice.accuracy["prototypes"] == pytest.approx(np.mean(correct))


@pytest.mark.parametrize(
    ("counts", "head", "chosen"),
    [
        ([1, 1, 1], None, "prototypes"),
        ([1, 1, 1], "ridge", "ridge"),
        ([1] * 9, None, "prototypes"),
        ([1] * 10, None, "centred_logistic_regression"),
        ([2, 1], None, "logistic_regression"),
        ([2, 1], "ridge", "logistic_regression"),
        ([2, 1], "logistic_regression", "logistic_regression"),
        ([3] * 9 + [1], None, "centred_logistic_regression"),
    ],
)
def test_one_text_in_a_class_leaves_the_choice_to_the_numbers(counts, head, chosen):
    targets = np.repeat(np.arange(len(counts)), counts)
    settings = dataclasses.replace(FROZEN, head=head)
    features = np.eye(len(targets))
    choice = _head_choice.choose_head(features, targets, settings, CLASSES)
    assert (choice.name, choice.accuracy) == (chosen, {})
    assert choice.is_default == (chosen == (head or "prototypes"))
    assert choice.applied(settings).head == (head if choice.is_default else chosen)
    assert "leaves none to compare" in str(choice)


@pytest.mark.parametrize(
    ("task", "algorithm", "problem"),
    [
        (tasks.regression(), "ridge", "among heads of one class a text"),
        (tasks.entities(), "frozen", "one class a text, .* predicts targets of tokens"),
        (tasks.relations(none=True), "frozen", "predicts none of the above"),
        (CLASSES, "fine_tuning", "fine_tuning adapts by inner steps"),
    ],
)
def test_what_has_no_head_to_choose_is_one_sentence(task, algorithm, problem):
    settings = config.AlgorithmConfig(algorithm)
    with pytest.raises(ValueError, match=problem):
        _choosable_heads.check_choosable(settings, task)


@pytest.mark.thorough
@pytest.mark.parametrize("meta_trained", [False, True])
def test_the_choice_is_printed_and_kept(
    meta_trained, world, trained, tmp_path, capsys, monkeypatch
):
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    of = ("--run", trained) if meta_trained else ("--model", world.model)
    args = ("adapt", "--support", support, *of, "--head", "auto")
    # Whichever head scores best on so few texts, one of the two is chosen.
    for chosen, settings in (("prototypes", {}), ("gaussian", {"strength": 3.0})):
        out = tmp_path / chosen
        forced = {"prototypes": 0.5, "gaussian": 0.4, chosen: 0.9}
        monkeypatch.setattr(
            _head_choice,
            "_compiled",
            lambda tried, *_, forced=forced: (
                lambda *_: np.full(12, forced.get(tried.head or "prototypes", 0.1))
            ),
        )
        capsys.readouterr()
        worlds.run(*args, "--out", out)
        printed = capsys.readouterr()
        assert f"head {chosen}, by accuracy in 4-fold" in printed.err
        record = models.load(out).purpose["chosen_head"]
        assert (record["name"], record["settings"]) == (chosen, settings)
        assert record["accuracy"][chosen] == pytest.approx(0.9)
        # A temperature that was fitted to another head is not kept.
        calibrated = "calibration" in models.load(out).purpose
        assert calibrated == (meta_trained and chosen == "prototypes")
        predictions = metaflax.load(out)([row["text"] for row in rows])
        assert {p["label"] for p in predictions} <= set(worlds.TOPICS[:3])


def test_a_head_is_chosen_where_none_is_named(world, trained, tmp_path, capsys):
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)

    def chosen(out, *args):
        capsys.readouterr()
        worlds.run("adapt", "--support", support, "--out", tmp_path / out, *args)
        record = models.load(tmp_path / out).purpose.get("chosen_head")
        assert ("cross-validation" in capsys.readouterr().err) == (record is not None)
        return record

    pretrained = ("--model", world.model)
    by_default = chosen("default", *pretrained)
    assert by_default == chosen("auto", *pretrained, "--head", "auto")
    assert chosen("temperature", *pretrained, "--temperature", 5) is None
    assert chosen("usual", *pretrained, "--strength", 1) is None
    assert chosen("named", *pretrained, "--head", "prototypes") is None
    assert chosen("run", "--run", trained) is None

    texts, labels = ([row[key] for row in rows] for key in ("text", "label"))
    for head in (None, "auto"):
        classifier = metaflax.FewShotClassifier(str(world.model), head=head)
        classifier.fit(texts, labels)
        assert classifier.head_choice_.record() == by_default
    assert not capsys.readouterr().err
    given = ({"temperature": 5.0}, {"strength": 1.0}, {"head": "prototypes"})
    for settings in given:
        other = metaflax.FewShotClassifier(str(world.model), **settings)
        assert other.fit(texts, labels).head_choice_ is None
    of_run = metaflax.FewShotClassifier(str(trained)).fit(texts, labels)
    assert of_run.head_choice_ is None


def test_an_example_that_counts_nothing_has_no_part_in_the_choice(world):
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)
    learner = load_learner(LearnerSettings(str(world.model)))
    examples = examples_of(rows, learner.task)
    names, weights = sorted({row["label"] for row in rows}), np.ones(len(rows))
    weights[0] = 0.0
    learned = learner.learn(examples, names, weights=weights)
    fewer = learner.learn(examples.select(range(1, len(rows))), names)
    assert learned.choice == fewer.choice
    np.testing.assert_allclose(learned.head["kernel"], fewer.head["kernel"], atol=1e-4)


@pytest.mark.thorough
def test_a_chosen_head_is_the_one_of_that_name(world, tmp_path):
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("adapt", "--support", support, "--model", world.model)
    worlds.run(*args, "--out", tmp_path / "auto", "--head", "auto")
    name = models.load(tmp_path / "auto").purpose["chosen_head"]["name"]
    strength = _head_choice.CANDIDATES.get(name, {"strength": 1.0})["strength"]
    options = ("--head", name, "--strength", strength)
    worlds.run(*args, "--out", tmp_path / "named", *options)
    heads = [models.load(tmp_path / each).head for each in ("auto", "named")]
    for one, other in zip(*(sorted(head.items()) for head in heads), strict=True):
        np.testing.assert_allclose(one[1], other[1], rtol=1e-5, atol=1e-6)


def test_texts_without_labels_need_a_head_of_that_name(world):
    texts, labels = ["topic00", "topic01"] * 2, ["a", "b"] * 2
    classifier = metaflax.FewShotClassifier(str(world.model))
    with pytest.raises(ValueError, match=r"^this head .* take soft_k_means or"):
        classifier.fit(texts, labels, unlabelled=["topic00 filler00"])


def test_a_strength_beside_a_choice_is_refused(world, tmp_path, capsys):
    args = ["adapt", "--support", "a.jsonl", "--out", str(tmp_path / "out")]
    args += ["--model", str(world.model), "--head", "auto", "--strength", "2"]
    assert cli.main(args) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "strength is 2.0, which the head 'auto' chooses as well" in said


def test_other_options_with_a_run_are_still_refused(trained, tmp_path, capsys):
    args = ["adapt", "--support", "a.jsonl", "--out", str(tmp_path / "out")]
    args += ["--run", str(trained), "--head", "auto", "--strength", "2"]
    assert cli.main(args) == 2
    assert "--strength would change" in " ".join(capsys.readouterr().err.split())


def test_an_estimator_keeps_its_choice(tiny_bert, tmp_path, capsys):
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)
    texts, labels = ([row[key] for row in rows] for key in ("text", "label"))
    classifier = metaflax.FewShotClassifier(str(tiny_bert), head="auto")
    classifier.fit(texts, labels)
    assert not capsys.readouterr().err
    choice = classifier.head_choice_
    assert "-fold cross-validation" in str(choice)
    named = metaflax.FewShotClassifier(
        str(tiny_bert), head=choice.name, **choice.settings
    ).fit(texts, labels)
    assert named.head_choice_ is None
    expected = named.predict_proba(texts)
    np.testing.assert_allclose(classifier.predict_proba(texts), expected, atol=1e-5)

    classifier.save(tmp_path / "saved")
    content = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert content["metaflax"]["chosen_head"]["name"] == choice.name
    assert f"Output layer: {choice}." in (tmp_path / "saved" / "README.md").read_text()
    loaded = metaflax.FewShotClassifier.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict_proba(texts), expected, atol=1e-5)
    assert loaded.head_choice_ == choice

    with pytest.raises(ValueError, match=r"strength is 2\.0, which the head 'auto'"):
        metaflax.FewShotClassifier(str(tiny_bert), head="auto", strength=2.0).fit(
            texts, labels
        )


@pytest.mark.parametrize("settings", [{"algorithm": "matching"}, {"head": "nearest"}])
def test_a_head_is_chosen_where_that_of_the_algorithm_cannot_be(settings, tmp_path):
    bert = worlds.save_bert(tmp_path / "bert")
    file = worlds.write_jsonl(tmp_path / "support.jsonl", worlds.records(count=2))
    frozen = without_run(str(bert), **settings)
    out = tmp_path / "out"
    workflows.adapt(file, out, config=frozen, choose_head=True)
    chosen_head = models.load(out).purpose["chosen_head"]["name"]
    assert chosen_head in {"prototypes", *_head_choice.CANDIDATES}
