"""Tests for the output layer of answer spans."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import heads, losses

D, L = 3, 5
HEAD = heads.span(D)
FEATURES = np.random.default_rng(0).normal(size=(2, L, D)).astype(np.float32)


def test_outputs_are_two_numbers_a_token():
    params = HEAD.init(jax.random.key(0)) | {"bias": jnp.array([1.0, -1.0])}
    state = HEAD.fit(params, FEATURES, None, None)
    expected = FEATURES @ np.asarray(params["kernel"]) + np.array([1.0, -1.0])
    chex.assert_trees_all_close(HEAD.apply(state, FEATURES), expected, rtol=1e-5)


def test_the_kernel_begins_near_zero_and_the_bias_at_it():
    params = heads.span(10_000).init(jax.random.key(0))
    np.testing.assert_allclose(np.std(params["kernel"]), 0.02, rtol=0.02)
    assert np.all(np.asarray(params["bias"]) == 0)


def test_the_template_is_what_fit_gives_in_shapes_and_types():
    for dtype in (jnp.float32, jnp.bfloat16):
        params = jax.tree.map(
            lambda x, dtype=dtype: x.astype(dtype), HEAD.init(jax.random.key(0))
        )
        fitted = HEAD.fit(params, FEATURES, None, None)
        chex.assert_trees_all_equal_shapes_and_dtypes(HEAD.template(params), fitted)


def test_steps_on_the_loss_of_spans_find_the_answers():
    codes = np.array([[0, -1, 1, 0, 2], [3, -1, 0, 0, 0]])
    features = np.eye(2 * L, dtype=np.float32).reshape(2, L, 2 * L)
    head = heads.span(2 * L)
    state = head.init(jax.random.key(0))

    @jax.jit
    def step(state):
        def loss(state):
            logits = head.apply(state, features)
            return losses.span_cross_entropy(logits, codes, np.ones(2))

        return jax.tree.map(lambda x, g: x - 5 * g, state, jax.grad(loss)(state))

    for _ in range(20):
        state = step(state)
    logits = np.where(codes[..., None] < 0, -np.inf, head.apply(state, features))
    assert logits.argmax(axis=1).tolist() == [[2, 4], [0, 0]]


def test_only_spans_are_served():
    assert HEAD.serves == {"spans"}
