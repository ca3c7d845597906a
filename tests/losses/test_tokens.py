"""Tests that losses of tokens equal those of the same units in one row."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, losses, metrics

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, 4, 5)).astype(np.float32)
TARGETS = np.array([[-1, 0, 4, -1], [2, 3, 1, 0], [1, -1, -1, -1]])
WEIGHTS = np.array([1.0, 0.0, 0.5], np.float32)
MASK = np.array([True, True, False, True, True])


def of_tokens(function, logits=LOGITS, targets=TARGETS, weights=WEIGHTS):
    outputs = base.ClassOutputs(jnp.asarray(logits), jnp.asarray(MASK))
    return losses.per_token(function)(outputs, jnp.asarray(targets), weights)


@pytest.mark.parametrize("function", [losses.softmax_cross_entropy, metrics.accuracy])
def test_a_loss_of_tokens_is_that_of_units_in_one_row(function):
    units = TARGETS >= 0
    weights = np.broadcast_to(WEIGHTS[:, None], TARGETS.shape)
    outputs = base.ClassOutputs(jnp.asarray(LOGITS[units]), jnp.asarray(MASK))
    expected = function(outputs, jnp.asarray(TARGETS[units]), weights[units])
    chex.assert_trees_all_close(of_tokens(function), expected, rtol=1e-6)


def test_padding_changes_nothing():
    filled = np.where(TARGETS[:, :, None] >= 0, LOGITS, 30)
    wider = np.pad(filled, ((0, 1), (0, 3), (0, 0)), constant_values=9)
    targets = np.pad(TARGETS, ((0, 1), (0, 3)), constant_values=-1)
    found = of_tokens(
        losses.softmax_cross_entropy, wider, targets, np.append(WEIGHTS, np.float32(1))
    )
    expected = of_tokens(losses.softmax_cross_entropy)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


def test_where_no_token_counts_the_loss_is_zero():
    nothing = np.full_like(TARGETS, -1)
    assert of_tokens(losses.softmax_cross_entropy, targets=nothing) == 0


def test_weights_of_tokens_are_refused():
    with pytest.raises(AssertionError, match=r"weights of texts \[S\]"):
        of_tokens(losses.softmax_cross_entropy, weights=np.ones_like(LOGITS[..., 0]))
