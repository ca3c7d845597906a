"""Tests for functions with few residuals for their derivatives."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metaflax.models.layers import _smooth

X = np.random.default_rng(0).normal(size=(5, 7)) * 3


def normalize(x):
    return _smooth.normalize(x, 1e-3)


def layer_norm(x):
    norm = nn.LayerNorm(1e-3, use_bias=False, use_scale=False, use_fast_variance=False)
    return norm.apply({}, x)


@pytest.mark.parametrize(
    ("ours", "reference"),
    [(_smooth.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
     (normalize, layer_norm)],
)  # fmt: skip
def test_values_are_those_of_the_usual_function(ours, reference):
    with jax.enable_x64(True):
        np.testing.assert_allclose(ours(X), reference(X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "function", [_smooth.gelu, pytest.param(normalize, marks=pytest.mark.slow)]
)
def test_derivatives_agree_with_differences_in_every_direction_to_third_order(function):
    with jax.enable_x64(True):
        check_grads(function, (jnp.asarray(X),), 3, ["fwd", "rev"], rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "kept"), [(_smooth.gelu, X.size), (normalize, X.size + len(X))]
)
def test_a_gradient_keeps_one_array(function, kept):
    _, backward = jax.vjp(function, jnp.asarray(X, jnp.float32))
    held = sum(leaf.size for leaf in jax.tree.leaves(backward) if leaf.ndim == 2)
    assert held == kept


@pytest.mark.parametrize("function", [_smooth.gelu, normalize])
def test_types_stay_and_large_numbers_stay_finite(function):
    x = jnp.asarray([[-1e4, -20.0, 0.0, 20.0, 1e4]], jnp.bfloat16)
    value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
    for found in (value, slope):
        assert found.dtype == jnp.bfloat16
        assert bool(jnp.all(jnp.isfinite(found)))
