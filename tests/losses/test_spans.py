"""Tests for the loss of spans: parity with torch, and padding."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import losses
from metaflax.base._units import SpanCode

S, L = 6, 9


def drawn(seed):
    """Logits, codes of rows of any length, and the positions of their answers."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(S, L, 2)).astype(np.float32)
    codes = np.full((S, L), SpanCode.OUTSIDE)
    places = np.zeros((S, 2), int)
    for row in range(S):
        first = rng.integers(1, L - 1)  # The context's first token.
        last = rng.integers(first, L)
        codes[row, [0, *range(first, last + 1)]] = SpanCode.INSIDE
        if rng.random() < 0.7:
            places[row] = np.sort(rng.integers(first, last + 1, 2))
        start, end = places[row]
        codes[row, start] |= SpanCode.START
        codes[row, end] |= SpanCode.END
    return logits, codes, places


@pytest.mark.parametrize("seed", range(5))
def test_torch_says_the_same_over_the_places_that_are_possible(seed):
    torch = pytest.importorskip("torch")
    logits, codes, places = drawn(seed)
    weights = np.array([1, 1, 0, 1, 2, 1], np.float32)
    reach = np.where(codes[..., None] >= 0, logits, -np.inf)
    each = torch.nn.functional.cross_entropy(
        torch.tensor(reach), torch.tensor(places), reduction="none"
    )  # [S, 2]
    expected = np.average(each.numpy().mean(axis=1), weights=weights)
    loss = losses.span_cross_entropy(logits, codes, weights)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_what_is_said_where_no_answer_can_be_changes_nothing():
    logits, codes, _ = drawn(0)
    weights = np.array([1, 1, 1, 0, 1, 1], np.float32)
    outside = (codes < 0) | (weights == 0)[:, None]
    other = np.where(outside[..., None], 1e4, logits).astype(np.float32)
    value, grads = jax.value_and_grad(losses.span_cross_entropy)(other, codes, weights)
    np.testing.assert_allclose(
        value, losses.span_cross_entropy(logits, codes, weights), rtol=1e-6
    )
    assert np.all(np.asarray(grads)[outside] == 0)
    assert np.all(np.asarray(grads)[~outside] != 0)


def test_rows_of_padding_only_are_finite_and_count_nothing():
    codes = np.full((2, L), SpanCode.OUTSIDE)

    def loss(logits):
        return losses.span_cross_entropy(logits, codes, jnp.zeros(2))

    value, grads = jax.value_and_grad(loss)(jnp.ones((2, L, 2)))
    assert value == 0
    chex.assert_trees_all_equal(grads, jnp.zeros((2, L, 2)))


def test_an_answer_of_one_token_is_both_ends():
    codes = np.array([[0, -1, 3, 0, -1]])
    certain = np.zeros((1, 5, 2), np.float32)
    certain[0, 2] = 50
    assert losses.span_cross_entropy(certain, codes, np.ones(1)) < 1e-6


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError, match=r"span logits are \[S, L, 2\]"):
        losses.span_cross_entropy(jnp.zeros((2, 3)), jnp.zeros((2, 3), int), None)
