"""Tests of names of classes as support examples, through the workflows."""

import dataclasses
import io
import json
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

import metaflax
from metaflax import config as config_lib
from metaflax import models, workflows
from metaflax.few_shot._examples import examples_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.serving._archive import write_archive
from metaflax.serving._weights import from_bytes, to_bytes
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.learning._head_choice import choose_head
from metaflax.workflows.learning._held_out_accuracy import NamedFeatures
from metaflax.workflows.runs._calibration import read_calibration
from metaflax.workflows.runs._data_record import source_of
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._run import load_run, reload_run
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._run_files import local_paths
from tests.workflows import worlds

RECORDS = worlds.records(worlds.TOPICS[:3], count=2)
TEXTS, LABELS = ([row[name] for row in RECORDS] for name in ("text", "label"))
OTHERS = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=5, seed=1)]
WEIGHT = 1.5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    with worlds.apart(folder):
        bert = worlds.save_bert(folder / "bert")
        rows = worlds.write_jsonl(folder / "topics.jsonl", worlds.records(count=8))
        support = worlds.write_jsonl(folder / "support.jsonl", RECORDS)
        yield folder, bert, rows, support


@pytest.fixture(scope="module")
def trained(world):
    folder, *_ = world
    workflows.train(config_of(world, "as_written"), folder / "run")
    return folder / "run"


def config_of(world, names, **algorithm):
    _, bert, rows, _ = world
    return config_lib.Config(
        data=config_lib.DataConfig(
            path=str(rows),
            max_length=32,
            label_names=names,
            label_name_weight=WEIGHT,
        ),
        model=config_lib.ModelConfig(name=str(bert)),
        algorithm=config_lib.AlgorithmConfig(**{"name": "protonet", **algorithm}),
        episodes=config_lib.EpisodeConfig(way=2, shot=2, queries=3),
        training=config_lib.TrainingConfig(
            steps=1, tasks_per_step=1, eval_every=1, valid_episodes=2
        ),
        evaluation=config_lib.EvaluationConfig(test_episodes=4),
    )


def probabilities(records, names):
    return np.array([[row["probabilities"][name] for name in names] for row in records])


def expected_accuracy(run, params, episodes):
    """Accuracy of weighted class means in float64."""
    tokens = run.model.tokenize(run.test.inputs, run.config.data, run.task.form)
    rows = np.arange(len(run.test.inputs))
    encoded = embedder(run.model)(params["encoder"], tokens, rows).astype(float)
    names = encoded[len(run.test.examples) :]
    scores = []
    for episode in episodes:
        means = []
        for local, number in enumerate(episode.classes):
            texts = encoded[episode.support[episode.support_targets == local]]
            total = texts.sum(axis=0) + WEIGHT * names[number]
            means.append(total / (len(texts) + WEIGHT))
        offsets = encoded[episode.query][:, None] - np.stack(means)
        nearest = (offsets**2).sum(axis=-1).argmin(axis=1)
        scores.append(np.mean(nearest == episode.query_targets))
    return np.array(scores)


def test_training_and_tests_use_names_and_say_so(trained):
    results = json.loads((trained / "results.json").read_text())
    assert results["used"]["label_names"] is True
    directory = RunDirectory(trained)
    run = reload_run(directory)
    params = directory.best_params(run.initial_params())
    evaluator = run.test_evaluator()
    scores = evaluator(params).metrics["accuracy"]
    expected = expected_accuracy(run, params, evaluator.episodes)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_scores_and_comparisons_say_which_run_used_names(world, trained, tmp_path):
    workflows.train(config_of(world, None), tmp_path / "plain")
    runs, printed = [trained, tmp_path / "plain"], []
    for run in runs:
        console = Console(record=True, width=200, file=io.StringIO())
        workflows.evaluate(run, console, name="named")
        printed.append(console.export_text())
    assert ["with names of classes" in text for text in printed] == [True, False]
    assert "with names of classes" in (trained / "named.html").read_text("utf-8")
    console = Console(record=True, width=200, file=io.StringIO())
    page = tmp_path / "compared.html"
    compared = workflows.compare_runs(runs, console, name="named", out=page)
    assert [used["label_names"] for used in compared["used"].values()] == [True, False]
    lines = console.export_text().splitlines()
    [named] = [line for line in lines if line.startswith("│ run ")]
    [plain] = [line for line in lines if line.startswith("│ plain ")]
    assert "with names of classes" in named
    assert "inductive" in plain
    assert "did not use the same information" in "".join(lines)
    assert "did not use the same information" in page.read_text("utf-8")
    same = workflows.compare_runs([trained, trained], console, name="named")
    assert "did not use" not in console.export_text()
    assert len({str(used) for used in same["used"].values()}) == 1


def test_the_encoder_learns_from_names(world):
    # With names of another weight the meta-gradient is another.
    gradients = []
    for names in (None, "as_written"):
        run = load_run(config_of(world, names))
        task = jax.tree.map(
            lambda leaf: leaf[0], next(run.train.stream(seed=0, step=0, size=1))
        )
        algorithm = run.test_evaluator().algorithm
        loss = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
        gradients.append(loss(run.initial_params(), task, jax.random.key(0))[1])
    leaves = [np.asarray(jax.tree.leaves(g["encoder"])[0], float) for g in gradients]
    assert np.abs(leaves[0] - leaves[1]).max() > 1e-6


def test_names_are_scored_likewise_where_the_encoder_adapts(world):
    settings = {"name": "fomaml", "num_steps": 1}
    losses = {}
    for names in (None, "as_written"):
        run = load_run(config_of(world, names, **settings))
        losses[names] = run.test_evaluator()(run.initial_params()).metrics["loss"]
    assert np.abs(losses[None] - losses["as_written"]).max() > 1e-6


def test_adapt_uses_the_names_of_its_run_and_of_its_options(world, trained, tmp_path):
    *_, support = world
    names = list(dict.fromkeys(LABELS))
    made = {}
    for option in (None, "as_written", "none"):
        out = tmp_path / f"{option}"
        workflows.adapt(support, out, run_dir=trained, label_names=option)
        made[option] = probabilities(metaflax.load(out)(OTHERS), names)
        used = models.load(out).purpose["used"]
        assert used["label_names"] is (option != "none")
        card = (out / "README.md").read_text("utf-8")
        assert ("and the names of the classes" in card) is (option != "none")
        calibrated = "calibration" in models.load(out).purpose
        assert calibrated is (option != "none")
    np.testing.assert_array_equal(made[None], made["as_written"])
    assert np.abs(made[None] - made["none"]).max() > 1e-3


@pytest.mark.parametrize("option", [None, "as_written", "none"])
def test_a_classifier_of_a_run_is_calibrated_as_adapt_calibrates(
    option, world, trained, tmp_path
):
    assert read_calibration(RunDirectory(trained)).temperature != 1
    *_, support = world
    workflows.adapt(support, tmp_path / "out", run_dir=trained, label_names=option)
    classifier = metaflax.FewShotClassifier(trained, label_names=option)
    classifier.fit(TEXTS, LABELS)
    expected = probabilities(metaflax.load(tmp_path / "out")(OTHERS), sorted({*LABELS}))
    np.testing.assert_allclose(classifier.predict_proba(OTHERS), expected, atol=1e-4)
    classifier.save(tmp_path / "saved")
    again = metaflax.FewShotClassifier.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict_proba(OTHERS), expected, atol=1e-4)
    purposes = [models.load(tmp_path / name).purpose for name in ("out", "saved")]
    assert purposes[0].get("calibration") == purposes[1].get("calibration")
    assert purposes[0]["used"] == purposes[1]["used"]


def test_a_task_of_a_service_is_archived_with_the_use_of_names(trained, tmp_path):
    learner = load_learner(LearnerSettings(str(trained)))
    examples = examples_of(RECORDS, learner.task)
    learned = learner.learn(examples, sorted({*LABELS}))
    archive = write_archive(learner, learned, examples)
    shutil.unpack_archive(archive, tmp_path)
    shutil.rmtree(archive.parent)
    purpose = models.load(tmp_path / "model").purpose
    assert purpose["used"]["label_names"] is True
    assert "calibration" in purpose
    content = to_bytes(learned, learner)
    again = from_bytes(content, learned.names, learner.encoder.params, True)
    assert learner.calibration_of(again) == learner.calibration_of(learned) is not None


@pytest.mark.parametrize("algorithm", ["frozen", "fine_tuning"])
def test_a_classifier_learns_from_descriptions_and_keeps_them(
    algorithm, world, tmp_path
):
    _, bert, _, support = world
    words = {name: f"{name} {name}" for name in dict.fromkeys(LABELS)}
    path = tmp_path / "names.json"
    path.write_text(json.dumps(words))
    config = without_run(
        str(bert), algorithm, label_names=str(path), label_name_weight=2.0
    )
    workflows.adapt(support, tmp_path / "out", config=config)
    expected = probabilities(metaflax.load(tmp_path / "out")(OTHERS), sorted(words))
    for source in (words, path):
        classifier = metaflax.FewShotClassifier(
            bert, algorithm=algorithm, label_names=source, label_name_weight=2.0
        )
        classifier.fit(TEXTS, LABELS)
        np.testing.assert_allclose(
            classifier.predict_proba(OTHERS), expected, atol=1e-4
        )
    plain = metaflax.FewShotClassifier(bert, algorithm=algorithm).fit(TEXTS, LABELS)
    assert np.abs(plain.predict_proba(OTHERS) - expected).max() > 1e-4
    classifier.save(tmp_path / "saved")
    again = metaflax.FewShotClassifier.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict_proba(OTHERS), expected, atol=1e-4)
    assert models.load(tmp_path / "saved").purpose["used"]["label_names"] is True


def test_names_join_texts_without_labels(world, tmp_path):
    _, bert, _, support = world
    pool = tmp_path / "pool.txt"
    pool.write_text("\n".join(OTHERS) + "\n")
    config = without_run(str(bert), head="soft_k_means", label_names="as_written")
    workflows.adapt(support, tmp_path / "out", config=config, unlabelled_texts=pool)
    classifier = metaflax.FewShotClassifier(
        bert, head="soft_k_means", label_names="as_written"
    )
    classifier.fit(TEXTS, LABELS, unlabelled=OTHERS)
    records = metaflax.load(tmp_path / "out")(OTHERS)
    np.testing.assert_allclose(
        classifier.predict_proba(OTHERS),
        probabilities(records, classifier.classes_),
        atol=1e-4,
    )


def test_the_choice_of_a_head_fits_names_in_every_fold_and_scores_none():
    # One text of each class is misplaced; the names have the right features.
    features = np.array([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]])
    targets = np.array([0, 0, 1, 1])
    config = config_lib.AlgorithmConfig("frozen")
    task = config_lib.build_task(config_lib.Config(algorithm=config))
    plain = choose_head(features, targets, config, task)
    names = NamedFeatures(np.array([[9.0, 0], [0, 9.0]]), np.array([0, 1]), 2.0)
    named = choose_head(features, targets, config, task, names=names)
    assert plain.accuracy["prototypes"] == 0
    # Each text with a positive number is right, and the others are a tie or wrong.
    assert named.accuracy["prototypes"] == 0.5
    assert named.num_folds == plain.num_folds == 2


def test_an_estimator_with_a_chosen_head_takes_names(world):
    _, bert, *_ = world
    classifier = metaflax.FewShotClassifier(bert, head="auto", label_names="as_written")
    classifier.fit(TEXTS, LABELS)
    assert set(classifier.predict(OTHERS)) <= set(LABELS)


def test_leaving_a_text_out_leaves_its_name_in(world):
    _, bert, *_ = world
    classifier = metaflax.FewShotClassifier(bert, label_names="as_written")
    classifier.fit(TEXTS, LABELS)
    learner = classifier._learner()
    examples, names = classifier._examples(learner), sorted(set(LABELS))
    named = learner.label_texts(names, "as_written", 1.0)
    weights = np.array([0.0, *[1.0] * (len(TEXTS) - 1)], np.float32)
    left_out = learner.learn(examples, names, weights=weights, named=named)
    fewer = learner.learn(examples.select(range(1, len(TEXTS))), names, named=named)
    np.testing.assert_allclose(left_out.head["kernel"], fewer.head["kernel"], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "pair_classification"}, "a name by itself is no pair"),
        ({"task": "entities"}, "task type 'entities'"),
        ({"task": "translation"}, "the model is generative"),
        ({"task": "regression"}, "task type 'regression'"),
        ({"task": "multilabel_classification"}, "no single named class"),
        ({"on_disk": True}, "does not go with on_disk"),
        ({"label_name_weight": 0.0}, "label_name_weight is 0.0; give a number above 0"),
    ],
)
def test_names_that_can_be_no_support_examples_are_refused(settings, message):
    settings = {"path": "a.jsonl", "label_names": "as_written", **settings}
    with pytest.raises(ValueError, match=message):
        config_lib.check(config_lib.Config(data=config_lib.DataConfig(**settings)))


@pytest.mark.parametrize("names", [None, "none", "as_written", "names.json"])
def test_only_descriptions_are_files_of_a_run(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if names is not None:
        (tmp_path / names).write_text("{}")  # Even where such a file is there.
    settings = config_lib.DataConfig(path="a.jsonl", label_names=names)
    is_file = names == "names.json"
    assert settings.label_names_file == (names if is_file else None)
    paths = local_paths(config_lib.Config(data=settings))
    assert ("label_names" in paths) is is_file
    assert source_of(settings) == "a.jsonl" + " and names.json" * is_file


def test_a_phrase_of_a_text_takes_names():
    data = config_lib.DataConfig(
        path="a.jsonl", task="pair_classification", label_names="as_written"
    )
    model = config_lib.ModelConfig(pair_encoding="phrase")
    config_lib.check(config_lib.Config(data=data, model=model))


def test_a_class_without_a_description_is_named(world, tmp_path):
    _, bert, _, support = world
    path = tmp_path / "names.json"
    path.write_text("{}")
    config = without_run(str(bert))
    with pytest.raises(ValueError, match="no description of the classes"):
        workflows.adapt(support, tmp_path / "out", config=config, label_names=str(path))


def test_other_descriptions_are_other_data(world, tmp_path):
    topics = sorted({row["label"] for row in worlds.records(count=1)})
    path = tmp_path / "names.json"
    path.write_text(json.dumps({name: f"the {name}" for name in topics}))
    config = config_of(world, str(path))
    workflows.train(config, tmp_path / "run")
    path.write_text(json.dumps({name: f"a {name}" for name in topics}))
    with pytest.raises(ValueError, match="descriptions of classes of"):
        workflows.evaluate(tmp_path / "run")


def test_texts_out_of_scope_are_not_taken_for_names(world, trained, tmp_path):
    others = tmp_path / "others.jsonl"
    worlds.write_jsonl(others, [{"text": f"{n} {n}"} for n in range(20)])
    report = workflows.evaluate(trained, name="scope", out_of_scope=others)
    assert report["detection"]["episodes"] == 4


def test_the_setting_changes_nothing_where_it_is_absent(world):
    config = config_of(world, None)
    heavier = dataclasses.replace(config.data, label_name_weight=9.0)
    scores = [
        run.test_evaluator()(run.initial_params()).metrics["loss"]
        for run in map(load_run, (config, dataclasses.replace(config, data=heavier)))
    ]
    np.testing.assert_array_equal(*scores)
