"""Tests that mixed mode equals reverse mode on a BERT; see also the closed forms."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, heads, losses, models
from tests.algorithms import text_free

CONFIG = models.BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
    hidden_dropout_prob=0.1,
)


def texts(seed, size):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 30, (size, 8)).astype(np.int32)
    mask = (np.arange(8)[None] < rng.integers(3, 9, size)[:, None]).astype(np.int32)
    targets = jnp.asarray(np.arange(size) % 3)
    return base.Batch(models.Tokens(ids * mask, None, mask), targets, np.ones(size))


def meta_gradient(estimator, dtype, key=None):
    encoder = models.encoder(CONFIG, dtype=dtype, standardize=True)
    algorithm = algorithms.maml(
        encoder.apply,
        losses.softmax_cross_entropy,
        encoder.init,
        optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(0.1, momentum=0.5)),
        head=heads.linear(16, 3),
        num_steps=4,
        estimator=estimator,
    )
    params = algorithm.init(jax.random.key(0))
    task = base.Task(texts(0, 6), texts(1, 6))
    params, task = jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else x,
        (params, task),
    )
    return jax.jit(jax.grad(algorithm.loss, has_aux=True))(params, task, key)[0]


def relative_error(first, second):
    gap = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), first, second)
    return float(optax.tree.norm(gap) / optax.tree.norm(second))


@pytest.mark.parametrize(
    ("mixed", "keyed"),
    [
        pytest.param(estimators.mixed_mode, False, marks=pytest.mark.slow),
        pytest.param(
            functools.partial(estimators.mixed_mode, remat_every=3),
            True,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mixed_mode_is_reverse_mode_in_float64(mixed, keyed):
    with jax.enable_x64(True):
        key = jax.random.key(3) if keyed else None
        expected = meta_gradient(estimators.reverse, jnp.float64, key)
        found = meta_gradient(mixed, jnp.float64, key)
        assert relative_error(found, expected) < 1e-9


@pytest.mark.slow
def test_mixed_mode_is_reverse_mode_in_float32():
    expected = meta_gradient(estimators.reverse, jnp.float32)
    found = meta_gradient(estimators.mixed_mode, jnp.float32)
    assert relative_error(found, expected) < 5e-5
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)


@jax.custom_vjp
def loud_slope(x):
    return jnp.cos(x)


loud_slope.defvjp(lambda x: (jnp.cos(x), x), lambda x, g: (-g * jnp.sin(x),))


@jax.custom_vjp
def loud(x):
    return jnp.sin(x)


# Its derivative is an operation with a transpose rule only.
loud.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * loud_slope(x),))


def maml_through_loud(estimator):
    algorithm = algorithms.maml(
        lambda params, inputs, key: loud(text_free.encode(params, inputs, key)),
        losses.softmax_cross_entropy,
        text_free.init,
        optax.sgd(0.1),
        head=heads.linear(text_free.D, text_free.N),
        estimator=estimator,
    )
    params = algorithm.init(jax.random.key(0))
    return jax.grad(algorithm.loss, has_aux=True)(params, text_free.task())[0]


def test_what_has_no_forward_rule_is_named_and_reverse_serves_it():
    with pytest.raises(ValueError, match="'loud_slope'.*use the estimator reverse"):
        maml_through_loud(estimators.mixed_mode)
    chex.assert_tree_all_finite(maml_through_loud(estimators.reverse))
