"""Tests for the metrics: parity with scikit-learn on random inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, metrics
from metaflax.metrics._classification import last_precision, last_recall

EPISODES, U, N = 300, 7, 4


@pytest.fixture(scope="module")
def episodes():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(EPISODES, N)) < 0.7
    mask[:, 0] = True  # At least one class.
    logits = rng.normal(size=(EPISODES, U, N)).astype(np.float32)
    weights = (rng.uniform(size=(EPISODES, U)) < 0.8).astype(np.float32)
    weights[:, 0] = 1
    return logits, mask, weights, rng


def scores(metric, logits, mask, targets, weights):
    def one(logits, mask, targets, weights):
        return metric(base.masked_outputs(logits, mask), targets, weights)

    return np.asarray(jax.vmap(one)(logits, jnp.asarray(mask), targets, weights))


def test_accuracy_is_that_of_sklearn_without_padding(episodes):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    logits, mask, weights, rng = episodes
    targets = rng.integers(N, size=(EPISODES, U))
    predicted = np.where(mask[:, None], logits, -np.inf).argmax(-1)
    expected = [
        sklearn_metrics.accuracy_score(t[w > 0], s[w > 0])
        for t, s, w in zip(targets, predicted, weights, strict=True)
    ]
    ours = scores(metrics.accuracy, logits, mask, targets, weights)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_micro_f1_is_that_of_sklearn_without_padding_and_absent_labels(episodes):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    logits, mask, weights, rng = episodes
    targets = (rng.uniform(size=(EPISODES, U, N)) < 0.4).astype(np.int32)
    expected = [
        # One flat binary problem has the same counts, and no edge cases of shape.
        sklearn_metrics.f1_score(
            t[w > 0][:, m].ravel(), x[w > 0][:, m].ravel() > 0, zero_division=0
        )
        for t, x, w, m in zip(targets, logits, weights, mask, strict=True)
    ]
    ours = scores(metrics.micro_f1, logits, mask, targets, weights)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_micro_f1_of_a_matrix_is_sklearns_micro_average(episodes):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    logits, _, _, rng = episodes
    flat = logits.reshape(-1, N)
    targets = (rng.uniform(size=flat.shape) < 0.4).astype(np.int32)
    ours = metrics.micro_f1(
        base.ClassOutputs(jnp.asarray(flat), jnp.ones(N, bool)),
        targets,
        jnp.ones(len(flat)),
    )
    expected = sklearn_metrics.f1_score(targets, flat > 0, average="micro")
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("metric", "targets"),
    [(metrics.accuracy, np.zeros(2, int)), (metrics.micro_f1, np.zeros((2, N), int))],
)
def test_where_nothing_counts_the_score_is_zero(metric, targets):
    outputs = base.ClassOutputs(-jnp.ones((2, N)), jnp.ones(N, bool))
    assert metric(outputs, targets, jnp.zeros(2)) == 0


def test_precision_and_recall_of_the_last_class_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(50):
        true, logits = rng.integers(0, 3, 9), rng.normal(size=(9, 3))
        weights = (np.arange(9) < rng.integers(1, 10)).astype(float)
        outputs = base.ClassOutputs(jnp.asarray(logits), jnp.ones(3, bool))
        found = [
            float(metric(outputs, jnp.asarray(true), jnp.asarray(weights)))
            for metric in (last_precision, last_recall)
        ]
        predicted, counts = logits.argmax(-1) == 2, weights > 0
        expected = [
            score(true[counts] == 2, predicted[counts], zero_division=0)
            for score in (sklearn.precision_score, sklearn.recall_score)
        ]
        assert found == pytest.approx(expected, abs=1e-6)
