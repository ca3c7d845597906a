"""Tests for computation in bfloat16 with parameters in float32."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import estimators, models, tree
from metaflax.models.layers import _modules, _products
from tests.models import episodes
from tests.models.examples import CONFIG, random_params, random_tokens

PARAMS = random_params(CONFIG)


def test_features_are_near_those_of_float32_and_float32_themselves():
    def features(**kwargs):
        apply = models.encoder(CONFIG, standardize=True, **kwargs).apply
        return jax.jit(lambda params: apply(params, random_tokens(), None))(PARAMS)

    low, high = features(dtype=jnp.bfloat16), features()
    assert low.dtype == jnp.float32
    assert 0 < np.max(np.abs(low - high)) < 0.05


def test_a_product_of_bfloat16_adds_up_in_float32_and_its_derivatives_are_narrow():
    keys = jax.random.split(jax.random.key(0))
    x, y = (jax.random.normal(k, (64, 64)).astype(jnp.bfloat16) for k in keys)

    def total(product, x, y):
        return jnp.sum(jnp.square(product(x, y).astype(jnp.float32)))

    product = _products.matmul(x, y)
    exact = np.asarray(x, np.float64) @ np.asarray(y, np.float64)
    assert product.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(product, np.float64), exact, rtol=2**-8)
    for argument in (0, 1):
        grads = [
            jax.grad(functools.partial(total, of), argument)(x, y)
            for of in (_products.matmul, jnp.matmul)
        ]
        np.testing.assert_array_equal(*(np.asarray(g, np.float32) for g in grads))
    jaxpr = jax.make_jaxpr(jax.grad(functools.partial(total, _products.matmul)))(x, y)
    factors = [
        [v.aval.dtype for v in equation.invars]
        for equation in jaxpr.eqns
        if equation.primitive.name == "dot_general"
    ]
    # One derivative, since the other factor is constant.
    assert factors == [[jnp.bfloat16, jnp.bfloat16]]


def test_sums_over_many_rows_and_features_do_not_stop_growing():
    rows, dense = 5000, _modules.Dense(3, jnp.bfloat16, jax.nn.initializers.ones)
    x = jnp.ones((rows, 1000))
    params = jax.jit(dense.init)(jax.random.key(0), x)

    @jax.jit
    @jax.grad
    def gradient(params):
        return jnp.sum(dense.apply(params, x).astype(jnp.float32))

    outputs, grads = jax.jit(dense.apply)(params, x), gradient(params)["params"]
    np.testing.assert_allclose(np.asarray(outputs, np.float32), 1000, rtol=0.01)
    np.testing.assert_allclose(grads["bias"], rows, rtol=0.01)
    np.testing.assert_allclose(grads["kernel"], rows, rtol=0.01)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(estimators.first_order, marks=pytest.mark.slow),
        pytest.param(estimators.reverse, marks=pytest.mark.slow),
        pytest.param(estimators.mixed_mode, marks=pytest.mark.slow),
    ],
)
def test_the_meta_gradient_is_float32_and_near_that_of_float32(estimator):
    params = episodes.meta_params()
    params = jax.tree.map(lambda x: 0.5 * x, params)
    make = functools.partial(episodes.algorithm, estimator, tree.everything)
    low, high = (
        episodes.value_and_grad(make(dtype=dtype))(params, episodes.two_tasks())[1]
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    chex.assert_trees_all_equal_dtypes(low, params)
    gap = optax.tree.norm(optax.tree.sub(low, high)) / optax.tree.norm(high)
    cosine = optax.tree.vdot(low, high)
    cosine /= optax.tree.norm(low) * optax.tree.norm(high)
    assert 0 < gap < 0.02
    assert cosine > 0.9998
