"""Tests for correlations: parity with scipy, and 0 if undefined."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from metaflax import metrics

PAIRS = [(metrics.pearson, stats.pearsonr), (metrics.spearman, stats.spearmanr)]
both = pytest.mark.parametrize(("metric", "oracle"), PAIRS)
SIZE = 12


def drawn(num, seed=0):
    """Numbers, many of them tied or constant, and the lengths of rows."""
    rng = np.random.default_rng(seed)
    shape = (num, SIZE)
    smooth = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, (num, 1))
    tied = rng.integers(0, rng.integers(1, 6, (num, 1)), shape)
    x = np.where(rng.random((num, 1)) < 0.5, smooth, tied).astype(np.float32)
    y = np.where(rng.random((num, 1)) < 0.5, rng.normal(size=shape), x + tied)
    counts = rng.integers(2, SIZE + 1, num)
    return x, y.astype(np.float32), counts


@both
def test_scipy_says_the_same_of_thousands_of_inputs(metric, oracle):
    x, y, counts = drawn(4000)
    weights = (np.arange(SIZE) < counts[:, None]).astype(np.float32)
    # What padding holds does not matter.
    hidden = np.where(weights > 0, x, 1e6).astype(np.float32)
    found = jax.jit(jax.vmap(metric))(hidden, y, weights)
    expected = []
    for a, b, n in zip(x.astype(float), y.astype(float), counts, strict=True):
        constant = len(set(a[:n])) == 1 or len(set(b[:n])) == 1
        expected.append(0.0 if constant else oracle(a[:n], b[:n]).statistic)
    assert sum(e == 0.0 for e in expected) > 100  # Some are not defined.
    np.testing.assert_allclose(found, expected, atol=2e-4)


@both
@pytest.mark.parametrize("x", [[3.0, 3.0, 3.0], [1e8, 1e8, 1e8], [0.1, 0.1, 0.1]])
def test_a_constant_side_makes_zero_where_scipy_finds_nothing(metric, oracle, x):
    y = np.array([1.0, 2.0, 4.0], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(oracle(x, y).statistic)
    assert metric(np.array(x, np.float32), y, np.ones(3, np.float32)) == 0
    assert metric(y, np.array(x, np.float32), np.ones(3, np.float32)) == 0


@both
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_units_have_no_correlation(metric, oracle, count):
    weights = (np.arange(4) < count).astype(np.float32)
    assert metric(np.arange(4.0), np.arange(4.0), weights) == 0


def test_weights_count_as_often_as_they_say():
    x, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 5.0, 2.0])
    weighted = metrics.pearson(x, y, jnp.array([1.0, 2.0, 1.0]))
    again = metrics.pearson(
        x[jnp.array([0, 1, 1, 2])], y[jnp.array([0, 1, 1, 2])], jnp.ones(4)
    )
    np.testing.assert_allclose(weighted, again, rtol=1e-6)
