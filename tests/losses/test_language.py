"""Tests for the loss of language models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metaflax import losses

S, L, V = 3, 4, 5
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(S, L, V)).astype(np.float32)
TARGETS = np.array([[-1, 2, 0, -1], [4, 4, 1, 3], [0, 0, 0, 0]])
WEIGHTS = np.array([1, 0.5, 0], np.float32)  # The last text is padding.


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_it_is_the_mean_over_tokens_that_are_asked_for(smoothing):
    logs = np.asarray(jax.nn.log_softmax(LOGITS))
    total = count = 0.0
    for row, targets, weight in zip(logs, TARGETS, WEIGHTS, strict=True):
        for of_words, target in zip(row, targets, strict=True):
            if target >= 0:
                right = (1 - smoothing) * of_words[target]
                total -= weight * (right + smoothing * of_words.mean())
                count += weight
    found = losses.language_cross_entropy(
        LOGITS, TARGETS, WEIGHTS, label_smoothing=smoothing
    )
    np.testing.assert_allclose(found, total / count, rtol=1e-5)


def test_what_is_not_asked_for_changes_nothing():
    asked = (TARGETS >= 0)[..., None] & (WEIGHTS > 0)[:, None, None]
    other = np.where(asked, LOGITS, 7.0)
    one, two = (
        losses.language_cross_entropy(x, TARGETS, WEIGHTS) for x in (LOGITS, other)
    )
    np.testing.assert_allclose(one, two)


@pytest.mark.slow
def test_its_derivatives_are_those_of_differences():
    def loss(logits):
        return losses.language_cross_entropy(
            logits, TARGETS, WEIGHTS, label_smoothing=0.1
        )

    check_grads(loss, (jnp.asarray(LOGITS),), order=2, rtol=1e-2)


def test_axes_are_checked():
    with pytest.raises(AssertionError, match=r"logits are \[S, L, V\]"):
        losses.language_cross_entropy(LOGITS, TARGETS[:, :2], WEIGHTS)
