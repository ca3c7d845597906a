"""Tests of learners that start from a run."""

import shutil

import numpy as np
import pytest

import metaflax
from metaflax.few_shot._examples import examples_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.workflows.runs._calibration import read_calibration
from metaflax.workflows.runs._run_directory import RunDirectory
from tests.workflows import worlds

SUPPORT = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
TEXTS, LABELS = ([row[name] for row in SUPPORT] for name in ("text", "label"))
QUERIES = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=3, seed=2)]


def probabilities(directory, classes):
    records = metaflax.load(directory)(QUERIES)
    return [[record["probabilities"][name] for name in classes] for record in records]


def test_a_classifier_of_a_run_predicts_as_its_adapted_directory(trained, adapted):
    fitted = metaflax.FewShotClassifier(trained).fit(TEXTS, LABELS)
    expected = probabilities(adapted, fitted.classes_)
    np.testing.assert_allclose(fitted.predict_proba(QUERIES), expected, atol=1e-4)


def test_a_named_head_takes_the_encoder_of_a_run_alone(trained):
    fitted = metaflax.FewShotClassifier(trained, head="ridge").fit(TEXTS, LABELS)
    own = metaflax.FewShotClassifier(trained).fit(TEXTS, LABELS)
    assert fitted.encoder_digest_ == own.encoder_digest_
    assert not np.allclose(fitted.predict_proba(QUERIES), own.predict_proba(QUERIES))


def test_other_checkpoints_of_a_run_are_noticed(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    fitted = metaflax.FewShotClassifier(run).fit(TEXTS, LABELS)
    (run / "checkpoints").rename(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match="checkpoint"):
        fitted.predict(QUERIES)


def test_a_run_of_another_task_type_is_refused(trained):
    with pytest.raises(ValueError, match="was meta-trained for classification"):
        metaflax.FewShotRegressor(trained).fit(TEXTS, range(len(TEXTS)))


@pytest.mark.thorough
def test_a_learned_output_layer_has_room_for_its_classes_only(trained_by):
    run = trained_by("fomaml")
    fitted = metaflax.FewShotClassifier(run).fit(TEXTS, LABELS)
    assert fitted.predict_proba(QUERIES).shape == (len(QUERIES), 3)
    with pytest.raises(ValueError, match="was\\s+meta-trained for 3"):
        fitted.fit(TEXTS[:4], list("abcd"))


@pytest.mark.thorough
def test_the_calibration_of_a_run_is_that_of_its_own_inner_steps_alone(trained_by):
    run = trained_by("fomaml")

    def calibration(**settings):
        learner = load_learner(LearnerSettings(model=str(run), **settings))
        examples = examples_of(SUPPORT, learner.task)
        task = learner.learn(examples, sorted(set(LABELS)))
        return learner.calibration_of(task)

    of_run = calibration()
    assert of_run == calibration(num_steps=2) == read_calibration(RunDirectory(run))
    assert of_run is not None
    assert calibration(num_steps=3) is None
    assert calibration(inner_learning_rate=0.1) is None


def test_the_calibration_of_a_run_is_that_of_its_own_head_alone(trained):
    def learner(**settings):
        return load_learner(LearnerSettings(model=str(trained), **settings))

    of_run, other = learner(), learner(head="ridge")
    examples = examples_of(SUPPORT, of_run.task)
    task = of_run.learn(examples, sorted(set(LABELS)))
    calibration = of_run.calibration_of(task)
    assert calibration == read_calibration(RunDirectory(trained)) is not None
    other_task = other.learn(examples, sorted(set(LABELS)))
    assert other.calibration_of(other_task) is None
    again = other.with_algorithm(of_run.config.algorithm, new_head=False)
    assert again.calibration_of(task) == calibration
    records = of_run.predict(task, QUERIES, reject=0.3)
    threshold = calibration.threshold(0.3)
    for record in records:
        assert (record["label"] is None) == (record["confidence"] < threshold)
        assert record["best_label"] == max(
            record["probabilities"], key=record["probabilities"].get
        )
    with pytest.raises(ValueError, match="no threshold to reject"):
        other.predict(other_task, QUERIES, reject=0.3)
