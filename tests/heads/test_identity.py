"""Tests for the head of models that have an output layer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaflax import algorithms, base, heads, losses

S, L, V = 2, 3, 4


def test_an_algorithm_with_it_is_one_on_the_bare_model():
    rng = np.random.default_rng(0)
    start = {"kernel": jnp.asarray(rng.normal(size=(V, V)), jnp.float32)}

    def model(params, inputs, key):
        return params["kernel"][inputs]  # [S, L, V]

    def batch():
        words = rng.integers(V, size=(2, S, L)).astype(np.int32)
        return base.Batch(words[0], words[1], np.ones(S, np.float32))

    task = base.Task(batch(), batch())
    parts = model, losses.language_cross_entropy, lambda key: start, optax.sgd(0.1)
    bare = algorithms.maml(*parts, num_steps=2)
    headed = algorithms.maml(*parts, head=heads.identity(), num_steps=2)
    expected = jax.grad(bare.loss, has_aux=True)(start, task)[0]
    found = jax.grad(headed.loss, has_aux=True)(headed.init(jax.random.key(0)), task)[0]
    assert found["head"] == {}
    np.testing.assert_allclose(
        found["encoder"]["kernel"], expected["kernel"], rtol=1e-5, atol=1e-7
    )
