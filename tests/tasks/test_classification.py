"""Tests for classification task types: predictions, refusals and losses."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, heads, losses, tasks

FACTORIES = [tasks.classification, tasks.multilabel_classification]
LOGITS = jnp.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0], [0.5, -1.0, 3.0]])
OUTPUTS = base.ClassOutputs(LOGITS, jnp.ones(3, bool))
TARGETS, LABELS = jnp.array([0, 0, 1]), jnp.array([[1, 0, 0], [1, 1, 0], [1, 0, 0]])
ONES = jnp.ones(3)


def test_a_decoded_class_is_the_most_probable_with_all_probabilities():
    logits = np.log(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]))
    outputs = base.ClassOutputs(logits, np.ones(3, bool))
    answers = tasks.classification().decode(outputs, ["a", "b", "c"])
    assert [answer["label"] for answer in answers] == ["b", "a"]
    assert answers[0]["probabilities"] == pytest.approx({"a": 0.1, "b": 0.7, "c": 0.2})


def test_classes_without_a_name_are_never_predicted():
    outputs = base.ClassOutputs(np.array([[0.0, 1.0, 9.0]]), np.ones(3, bool))
    (answer,) = tasks.classification().decode(outputs, ["a", "b"])
    assert answer["label"] == "b"
    assert set(answer["probabilities"]) == {"a", "b"}


def test_decoded_labels_are_all_above_one_half():
    logits = np.array([[2.0, -2.0, 0.0], [-1.0, -1.0, -1.0]])
    outputs = base.ClassOutputs(logits, np.ones(3, bool))
    answers = tasks.multilabel_classification().decode(outputs, ["a", "b", "c"])
    assert [answer["labels"] for answer in answers] == [["a"], []]
    expected = {"a": 1 / (1 + np.exp(-2)), "b": 1 / (1 + np.exp(2)), "c": 0.5}
    assert answers[0]["probabilities"] == pytest.approx(expected, abs=1e-6)


def test_a_head_is_accepted_where_it_serves_the_kind_of_targets():
    tasks.classification().check_head("prototypes", heads.prototypes(3))
    tasks.multilabel_classification().check_head("linear", heads.linear(4, 3))


def test_a_head_for_other_targets_is_refused_with_what_it_serves():
    with pytest.raises(ValueError, match=r"'prototypes' serves.*\['classes'\].*'label"):
        tasks.multilabel_classification().check_head("prototypes", heads.prototypes(3))


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0])
def test_smoothing_outside_its_range_is_refused(factory, label_smoothing):
    with pytest.raises(ValueError, match=rf"in \[0, 1\), got {label_smoothing}"):
        factory(label_smoothing=label_smoothing)


@pytest.mark.parametrize("factory", FACTORIES)
def test_unknown_class_weights_are_refused(factory):
    with pytest.raises(ValueError, match="'equal' or 'balanced', got 'fair'"):
        factory(class_weights="fair")


def test_the_loss_of_classes_is_smoothed_and_balanced_as_asked():
    task_type = tasks.classification(label_smoothing=0.1, class_weights="balanced")
    # Class 0 has two of three units: weights 3/4 for it, 3/2 for the other.
    expected = losses.softmax_cross_entropy(
        OUTPUTS,
        TARGETS,
        ONES,
        label_smoothing=0.1,
        class_weights=jnp.array([0.75, 1.5, 0.0]),
    )
    chex.assert_trees_all_close(task_type.loss(OUTPUTS, TARGETS, ONES), expected)
    plain = tasks.classification().loss(OUTPUTS, TARGETS, ONES)
    assert not np.isclose(plain, expected)


def test_the_loss_of_labels_is_smoothed_and_balanced_as_asked():
    task_type = tasks.multilabel_classification(
        label_smoothing=0.1, class_weights="balanced"
    )
    expected = losses.sigmoid_cross_entropy(
        OUTPUTS,
        LABELS,
        ONES,
        label_smoothing=0.1,
        class_weights=jnp.array([0.5, 1.5, 0.0]),
    )
    chex.assert_trees_all_close(
        task_type.loss(OUTPUTS, LABELS, ONES), expected, rtol=1e-6
    )
    plain = tasks.multilabel_classification().loss(OUTPUTS, LABELS, ONES)
    assert not np.isclose(plain, expected)


@pytest.mark.parametrize(
    ("factory", "targets", "name", "expected"),
    [
        (tasks.classification, TARGETS, "accuracy", 1 / 3),
        # Four labels are predicted, four are true, two are both.
        (tasks.multilabel_classification, LABELS, "micro_f1", 2 * 2 / (4 + 4)),
    ],
)
def test_the_first_metric_is_the_one_that_selects(factory, targets, name, expected):
    first, metric = next(iter(factory().metrics.items()))
    assert first == name
    np.testing.assert_allclose(metric(OUTPUTS, targets, ONES), expected, rtol=1e-6)
