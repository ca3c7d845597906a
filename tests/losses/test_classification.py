"""Tests for cross entropies: parity with torch, masks, padding, derivatives."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from metaflax import base, losses

U, N = 6, 4
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(U, N)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 0, 1, 2])
LABELS = (rng.uniform(size=(U, N)) < 0.5).astype(np.float32)
CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0], np.float32)
ALL, THREE = np.ones(N, bool), np.array([True, True, True, False])


def outputs(logits=LOGITS, mask=ALL):
    return base.masked_outputs(jnp.asarray(logits), jnp.asarray(mask))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy_is_that_of_torch(label_smoothing):
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(LOGITS),
        torch.from_numpy(TARGETS),
        label_smoothing=label_smoothing,
    )
    loss = losses.softmax_cross_entropy(
        outputs(), TARGETS, jnp.ones(U), label_smoothing=label_smoothing
    )
    chex.assert_trees_all_close(loss, float(expected), rtol=1e-6)


def test_class_weights_are_those_of_torch():
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(LOGITS),
        torch.from_numpy(TARGETS),
        weight=torch.from_numpy(CLASS_WEIGHTS),
    )
    loss = losses.softmax_cross_entropy(
        outputs(), TARGETS, jnp.ones(U), class_weights=jnp.asarray(CLASS_WEIGHTS)
    )
    chex.assert_trees_all_close(loss, float(expected), rtol=1e-6)


def test_binary_cross_entropy_is_that_of_torch():
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    )
    loss = losses.sigmoid_cross_entropy(outputs(), LABELS, jnp.ones(U))
    chex.assert_trees_all_close(loss, float(expected), rtol=1e-6)


def test_binary_smoothing_moves_targets_towards_one_half():
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(LOGITS), torch.from_numpy(0.8 * LABELS + 0.1)
    )
    loss = losses.sigmoid_cross_entropy(
        outputs(), LABELS, jnp.ones(U), label_smoothing=0.2
    )
    chex.assert_trees_all_close(loss, float(expected), rtol=1e-6)


def test_label_weights_make_a_weighted_mean_over_labels():
    each = np.logaddexp(0, LOGITS) - LABELS * LOGITS
    expected = np.mean(each @ CLASS_WEIGHTS / CLASS_WEIGHTS.sum())
    loss = losses.sigmoid_cross_entropy(
        outputs(), LABELS, jnp.ones(U), class_weights=jnp.asarray(CLASS_WEIGHTS)
    )
    chex.assert_trees_all_close(loss, expected, rtol=1e-6)


SMOOTHED_LOSSES = pytest.mark.parametrize(
    ("loss_fn", "targets"),
    [
        (losses.softmax_cross_entropy, TARGETS),
        (losses.sigmoid_cross_entropy, LABELS),
    ],
)


@SMOOTHED_LOSSES
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_an_absent_class_is_as_if_it_were_not_there(loss_fn, targets, label_smoothing):
    smaller = targets[:, :3] if targets.ndim == 2 else targets
    without = loss_fn(
        outputs(LOGITS[:, :3], np.ones(3, bool)),
        smaller,
        jnp.ones(U),
        label_smoothing=label_smoothing,
    )
    masked = loss_fn(
        outputs(mask=THREE), targets, jnp.ones(U), label_smoothing=label_smoothing
    )
    chex.assert_trees_all_close(masked, without, rtol=1e-6)


@SMOOTHED_LOSSES
def test_padding_has_no_effect(loss_fn, targets):
    weights = np.array([1, 1, 1, 1, 0, 0], np.float32)
    padded = loss_fn(outputs(), targets, jnp.asarray(weights))
    alone = loss_fn(outputs(LOGITS[:4]), targets[:4], jnp.ones(4))
    chex.assert_trees_all_close(padded, alone, rtol=1e-6)


@SMOOTHED_LOSSES
def test_a_batch_of_padding_alone_loses_nothing(loss_fn, targets):
    value, grad = jax.value_and_grad(
        lambda x: loss_fn(outputs(x, THREE), targets, jnp.zeros(U))
    )(LOGITS)
    assert value == 0
    assert np.all(np.asarray(grad) == 0)


@SMOOTHED_LOSSES
def test_gradients_are_finite_and_none_for_absent_classes(loss_fn, targets):
    grad = jax.grad(
        lambda x: loss_fn(outputs(x, THREE), targets, jnp.ones(U), label_smoothing=0.1)
    )(LOGITS)
    chex.assert_tree_all_finite(grad)
    assert np.all(np.asarray(grad)[:, 3] == 0)
    assert np.all(np.asarray(grad)[:, :3] != 0)


@SMOOTHED_LOSSES
def test_first_and_second_derivatives_equal_differences(loss_fn, targets):
    @jax.jit
    def loss(logits):
        return loss_fn(
            outputs(logits, THREE), targets[:2], jnp.ones(2), label_smoothing=0.1
        )

    with jax.enable_x64(True):
        jax.test_util.check_grads(
            loss, (LOGITS[:2].astype(np.float64),), order=2, modes="rev"
        )


def test_balanced_class_weights_let_every_class_count_alike():
    targets = jnp.array([0, 0, 0, 1, 3])
    weights = losses.balanced_class_weights(targets, jnp.array([1, 1, 1, 1, 0.0]), N)
    # Of four units, two classes present: 4 / (2 * 3) and 4 / (2 * 1).
    chex.assert_trees_all_close(weights, jnp.array([2 / 3, 2, 0, 0]), rtol=1e-6)


def test_balanced_label_weights_are_inverse_to_frequency_with_mean_one():
    targets = jnp.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1]])
    weights = losses.balanced_label_weights(targets, jnp.array([1, 1, 1, 0.0]))
    chex.assert_trees_all_close(weights, jnp.array([0.5, 1.5, 0, 0]), rtol=1e-6)


def test_targets_of_the_wrong_form_are_refused():
    with pytest.raises(AssertionError, match=r"targets and weights: \[U\]"):
        losses.softmax_cross_entropy(outputs(), LABELS, jnp.ones(U))
    with pytest.raises(AssertionError, match=r"multi-label targets are \[U, N\]"):
        losses.sigmoid_cross_entropy(outputs(), TARGETS, jnp.ones(U))
