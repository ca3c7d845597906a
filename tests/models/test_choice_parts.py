"""Tests that each choice of a row is encoded as it is by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.layers import _choice_parts
from tests import comparison
from tests.models import examples

CONFIG = dataclasses.replace(examples.CONFIG, num_hidden_layers=1)
PARAMS = examples.random_params(CONFIG)
WIDTH, PARTS = 5, 3
# Tokens of the sequences of each row; the last row is padding.
LENGTHS = np.array([[4, 5, 2], [3, 2, 0], [0, 0, 0]])


@pytest.fixture(scope="module")
def inner():
    return models.encoder(CONFIG, pooling="mean", standardize=True)


@pytest.fixture(scope="module")
def single():
    """A sequence a row, `[B P, L]`."""
    return examples.random_tokens(lengths=LENGTHS.ravel().tolist(), length=WIDTH)


@pytest.fixture(scope="module")
def each(inner, single):
    """The features of each sequence by itself, `[B, P, D]`."""
    features = jax.jit(inner.apply)(PARAMS, single)
    return np.asarray(features).reshape(*LENGTHS.shape, -1)


def on_grid(single):
    """The same sequences, P to a row."""
    leaves = (single.ids, single.types, single.mask)
    ids, types, mask = (np.asarray(x).reshape(len(LENGTHS), -1) for x in leaves)
    marks = np.tile(np.arange(PARTS, dtype=np.int32) * WIDTH, (len(LENGTHS), 1))
    return models.Tokens(ids, types, mask, marks=marks)


@pytest.mark.parametrize("pack", [False, True])
def test_each_choice_is_encoded_by_itself_and_absent_ones_are_zero(
    inner, single, each, pack
):
    tokens = on_grid(single)
    if pack:
        tokens = examples.packed(tokens, budget=int(LENGTHS.sum()) + 2)
    encoder = _choice_parts.each_choice(inner)
    features = jax.jit(encoder.apply)(PARAMS, tokens)
    expected = np.where(LENGTHS[..., None] > 0, each, 0)
    np.testing.assert_allclose(features, expected, atol=2e-6)
    assert encoder.num_features == features.shape[-1]
    assert np.all(np.any(features != 0, axis=-1) == (LENGTHS > 0))


def test_towers_compare_the_text_with_each_choice(inner, single, each):
    encoder = _choice_parts.choices_in_towers(inner)
    features = np.asarray(jax.jit(encoder.apply)(PARAMS, on_grid(single)))
    u, v = each[:, :1], each[:, 1:]  # Standardised, so of length 1.
    expected = comparison.compared(u, v)
    present = LENGTHS[:, 1:] > 0
    np.testing.assert_allclose(features[present], expected[present], atol=2e-6)
    assert np.all(features[~present] == 0)
    assert encoder.num_features == features.shape[-1]


@pytest.mark.parametrize("stage", [1, 2])
def test_stages_give_what_all_of_them_give_at_once(inner, single, stage):
    tokens, apply = on_grid(single), _choice_parts.each_choice(inner).apply
    run = jax.jit(apply.run, static_argnums=(4, 5))
    states = run(PARAMS, tokens, None, None, 0, stage)
    assert all(len(leaf) == len(LENGTHS) for leaf in jax.tree.leaves(states))
    ends = run(PARAMS, tokens, states, None, stage, len(apply.reads))
    np.testing.assert_allclose(ends, jax.jit(apply)(PARAMS, tokens), atol=2e-6)


def test_gradients_are_finite_and_skip_absent_choices(inner, single):
    tokens, apply = on_grid(single), _choice_parts.choices_in_towers(inner).apply
    grads = jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(apply(p, tokens)))))(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    unused = np.setdiff1d(
        np.asarray(tokens.ids), np.asarray(tokens.ids)[tokens.mask > 0]
    )
    words = np.asarray(grads["embeddings"]["word"])
    assert np.all(words[unused] == 0)
