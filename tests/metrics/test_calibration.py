"""Tests for calibration: bins by hand, and temperatures compared with scipy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from metaflax import base, metrics
from metaflax.metrics._calibration import Bins, reliability_bins


def test_bins_by_hand():
    """Confidences 0.5, 0.5, 0.75, 1 and 1; a bound between bins is in the lower one."""
    halves, quarters, ones = [0.5, 0.5], [0.25, 0.75], [1.0, 0.0]
    probabilities = np.array([halves, halves, quarters, ones, ones])
    bins = reliability_bins(probabilities, [0, 1, 1, 0, 1], num_bins=4)
    np.testing.assert_array_equal(bins.number, [0, 2, 1, 2])
    np.testing.assert_allclose(bins.confidence, [0, 1, 0.75, 2])
    np.testing.assert_array_equal(bins.right, [0, 1, 1, 1])
    # |1 - 1| + |1 - 0.75| + |1 - 2|, of five.
    error = metrics.expected_calibration_error(bins)
    assert error == pytest.approx(1.25 / 5)


def test_bins_of_parts_add_up_and_stacked_ones_give_errors_of_each():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=60)
    targets = rng.integers(4, size=60)
    whole = reliability_bins(probabilities, targets)
    parts = [
        reliability_bins(probabilities[rows], targets[rows])
        for rows in (slice(20), slice(20, 60))
    ]
    stacked = Bins(*map(np.stack, zip(*parts, strict=True)))
    for summed, expected in zip(stacked, whole, strict=True):
        np.testing.assert_allclose(summed.sum(axis=0), expected)
    errors = metrics.expected_calibration_error(stacked)
    expected = [metrics.expected_calibration_error(part) for part in parts]
    np.testing.assert_allclose(errors, expected)


def test_what_is_as_often_right_as_it_says_has_hardly_an_error():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=50_000)
    targets = (rng.random((50_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    calibrated = reliability_bins(probabilities, targets)
    assert metrics.expected_calibration_error(calibrated) < 0.01
    sharper = metrics.softened(np.log(probabilities), temperature=0.3)
    overdone = reliability_bins(sharper, targets)
    assert metrics.expected_calibration_error(overdone) > 0.1


def sampled(temperature, size=4000):
    """Logits that are overconfident by a factor, and classes sampled without it."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(size, 5))
    probabilities = special.softmax(logits, axis=-1)
    targets = (rng.random((size, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return logits * temperature, np.minimum(targets, 4)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 6.0])
def test_the_temperature_is_the_one_that_scipy_finds(temperature):
    logits, targets = sampled(temperature)

    def loss(log_t):
        log_p = special.log_softmax(logits / np.exp(log_t), axis=-1)
        return -log_p[np.arange(len(targets)), targets].mean()

    exact = optimize.minimize_scalar(loss, bounds=(-4, 4), options={"xatol": 1e-9})
    found = metrics.fit_temperature(logits, targets)
    assert found == pytest.approx(np.exp(exact.x), rel=1e-5)
    assert found == pytest.approx(temperature, rel=0.1)


def test_absent_classes_change_no_temperature():
    logits, targets = sampled(3.0, size=200)
    padded = base.masked_outputs(
        jnp.asarray(np.pad(logits, ((0, 0), (0, 2))), jnp.float32),
        jnp.arange(7) < 5,
    ).logits
    found = metrics.fit_temperature(padded, targets)
    assert found == pytest.approx(metrics.fit_temperature(logits, targets), rel=1e-5)


def test_where_there_is_no_best_temperature_it_is_the_lowest_or_highest():
    logits = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert metrics.fit_temperature(logits, [0, 1]) == pytest.approx(1e-3)
    assert metrics.fit_temperature(logits, [1, 0]) == pytest.approx(1e3)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one unit at least.*got \[0, 3\] and \[0\]"):
        metrics.fit_temperature(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match=r"got \[2, 3\] and \[3\]"):
        reliability_bins(np.ones((2, 3)), [0, 0, 0])
