"""Tests for pooling and standardising."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.layers import _pooling
from tests.models.examples import (
    CONFIG,
    LENGTHS,
    hidden_states,
    packed,
    random_params,
    random_tokens,
)

PARAMS = random_params(CONFIG)
states_of = jax.jit(functools.partial(hidden_states, CONFIG, PARAMS))
features_of = jax.jit(lambda tokens: models.encoder(CONFIG).apply(PARAMS, tokens, None))


@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
def test_the_mean_is_over_real_tokens(pack):
    tokens = pack(random_tokens())
    states = states_of(tokens)
    expected = [
        row[:n].mean(axis=0) for row, n in zip(np.asarray(states), LENGTHS, strict=True)
    ]
    chex.assert_trees_all_close(
        features_of(tokens), np.stack(expected), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
def test_entities_are_the_states_at_both_marks(pack):
    marks = np.array([[1, 6], [2, 0], [0, 0], [4, 4]], np.int32)
    tokens = pack(random_tokens())._replace(marks=jnp.asarray(marks))
    states = np.asarray(states_of(tokens))
    expected = [np.concatenate(row[m]) for row, m in zip(states, marks, strict=True)]
    encoder = models.encoder(CONFIG, pooling="entities")
    assert encoder.num_features == 2 * CONFIG.hidden_size
    result = jax.jit(encoder.apply)(PARAMS, tokens, None)
    chex.assert_trees_all_close(result, np.stack(expected), rtol=1e-5, atol=1e-6)


def test_entities_are_refused_where_texts_have_no_marks():
    apply = models.encoder(CONFIG, pooling="entities").apply
    with pytest.raises(ValueError, match="two marked entities"):
        jax.eval_shape(apply, PARAMS, random_tokens(), None)


def test_the_mean_of_some_tokens_is_refused_with_another_pooling():
    tokens = random_tokens()
    tokens = tokens._replace(pooled=tokens.mask)
    apply = models.encoder(CONFIG, pooling="first").apply
    with pytest.raises(ValueError, match="take pooling mean"):
        jax.eval_shape(apply, PARAMS, tokens, None)


def test_texts_put_together_keep_their_marks():
    tokens = random_tokens()._replace(marks=jnp.array([[1, 2]] * 4))
    both = tokens.concatenate(tokens._replace(marks=tokens.marks + 2))
    assert both.marks.tolist() == [[1, 2]] * 4 + [[3, 4]] * 4
    assert tokens.concatenate(random_tokens()).marks is None


@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
def test_texts_of_two_lengths_put_together_keep_their_features(pack):
    short, long = pack(random_tokens()), pack(random_tokens(length=9, seed=1))
    apart = np.concatenate([features_of(short), features_of(long)])
    for first, second, order in [(short, long, 0), (long, short, 4)]:
        both = first.concatenate(second)
        assert both.ids.shape == (8, 9)
        np.testing.assert_allclose(
            np.roll(features_of(both), order, axis=0), apart, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
def test_standardized_features_are_centred_and_of_unit_length(pooling):
    model = models.encoder(CONFIG, pooling=pooling, standardize=True)
    features = jax.jit(model.apply)(PARAMS, random_tokens(), None)
    chex.assert_shape(features, (4, model.num_features))
    np.testing.assert_allclose(np.mean(features, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_standardizing_zero_is_zero_with_finite_derivatives():
    zero = jnp.zeros((1, 5))
    total = lambda x: jnp.sum(jnp.sin(_pooling.standardized(x, 1e-12)))  # noqa: E731
    assert not np.any(_pooling.standardized(zero, 1e-12))
    chex.assert_tree_all_finite(jax.jvp(jax.grad(total), (zero,), (zero + 1,)))


@pytest.mark.parametrize(("pooling", "has"), [("pooler", True), ("mean", False)])
def test_init_draws_a_pooler_only_where_one_is_read(pooling, has):
    params = models.encoder(CONFIG, pooling=pooling).init(jax.random.key(0))
    assert ("pooler" in params) == has
    spread = float(jnp.std(params["embeddings"]["word"]))
    assert spread == pytest.approx(CONFIG.initializer_range, rel=0.2)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'max'; there is mean, first, pooler"):
        models.encoder(CONFIG, pooling="max")
