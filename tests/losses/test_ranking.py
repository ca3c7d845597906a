"""Tests for ranking losses."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import losses, metrics

SCORES = np.array([0.5, 2.0, -1.0, 0.1])
GAINS = np.array([3.0, 1.0, 0.0, 7.0])


@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_pairs_count_by_what_their_exchange_does_to_ndcg(k):
    expected = 0.0
    for i, j in itertools.permutations(range(4), 2):
        if GAINS[i] > GAINS[j]:
            exchanged = SCORES.copy()
            exchanged[[i, j]] = SCORES[[j, i]]
            change = metrics.ndcg_at(exchanged, GAINS, k)
            change -= metrics.ndcg_at(SCORES, GAINS, k)
            expected += abs(change) * np.log1p(np.exp(SCORES[j] - SCORES[i]))
    loss = losses.lambda_rank(jnp.asarray(SCORES), jnp.asarray(GAINS), jnp.ones(4), k=k)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_two_candidates_have_the_closed_form_and_its_derivative():
    # NDCG@2 of the wrong order is 1 / log2(3), that of the right one is 1.
    scores, gains = jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])
    change = 1 - 1 / np.log2(3)
    loss, grads = jax.value_and_grad(losses.lambda_rank)(scores, gains, jnp.ones(2))
    np.testing.assert_allclose(loss, change * np.log1p(np.e), rtol=1e-6)
    slope = change / (1 + np.exp(-1))
    np.testing.assert_allclose(grads, [-slope, slope], rtol=1e-6)


@pytest.mark.parametrize("filler", [0.0, 1e4, np.nan])
def test_padding_changes_neither_the_loss_nor_the_derivative(filler):
    value_and_grad = jax.value_and_grad(losses.lambda_rank)
    loss, grads = value_and_grad(jnp.asarray(SCORES), jnp.asarray(GAINS), jnp.ones(4))
    padded, padded_grads = value_and_grad(
        jnp.array([filler, *SCORES, filler]),
        jnp.array([filler, *GAINS, filler]),
        jnp.array([0.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
    )
    np.testing.assert_allclose(padded, loss, rtol=1e-6)
    np.testing.assert_allclose(padded_grads[1:-1], grads, rtol=1e-6)
    np.testing.assert_array_equal(padded_grads[jnp.array([0, -1])], 0)


def test_equal_gains_ask_for_no_order():
    for gain in (0.0, 2.0):
        loss = losses.lambda_rank(jnp.asarray(SCORES), jnp.full(4, gain), jnp.ones(4))
        assert loss == 0


def test_other_shapes_and_no_place_are_refused():
    with pytest.raises(AssertionError, match=r"are \[C\]"):
        losses.lambda_rank(jnp.ones(3), jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="at least one place.*k=0"):
        losses.lambda_rank(jnp.ones(3), jnp.ones(3), jnp.ones(3), k=0)
