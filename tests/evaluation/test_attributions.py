"""Tests for integrated gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax.evaluation._attributions import integrated_gradients


def network(x):
    """A smooth function of `[3, 4]` in which nothing is linear."""
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), x.dtype)
    hidden = jnp.tanh(3 * x @ kernel)  # [3, 5]
    return jax.nn.softmax(4 * jnp.sum(hidden, axis=0))[1] * jnp.sin(hidden[0, 0])


def drawn(seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(3, 4)), jnp.float32)


@pytest.mark.parametrize("num_steps", [1, 3, 64])
def test_a_linear_function_is_explained_exactly_by_any_number_of_steps(num_steps):
    weights, inputs, baseline = drawn(1), drawn(2), drawn(3)
    found = integrated_gradients(
        lambda x: jnp.sum(weights * x) + 7, inputs, baseline, num_steps=num_steps
    )
    chex.assert_trees_all_close(
        found.values, weights * (inputs - baseline), rtol=1e-5, atol=1e-6
    )
    assert found.error < 1e-5


def test_attributions_add_up_to_the_difference_of_outputs():
    found = integrated_gradients(network, drawn(1), drawn(2))
    assert abs(network(drawn(1)) - network(drawn(2))) > 0.01
    chex.assert_trees_all_close(
        found.difference, network(drawn(1)) - network(drawn(2)), rtol=1e-5
    )
    chex.assert_trees_all_close(jnp.sum(found.values), found.difference, atol=1e-3)
    coarse = integrated_gradients(network, drawn(1), drawn(2), num_steps=2)
    assert coarse.error > found.error  # Which is the error that it says.
    error = abs(float(jnp.sum(coarse.values)) - float(coarse.difference))
    assert float(coarse.error) == pytest.approx(error, abs=1e-6)


def test_a_product_is_shared_in_halves_and_the_unused_gets_nothing():
    found = integrated_gradients(
        lambda x: x[0] * x[1], jnp.array([3.0, 2.0, 5.0]), jnp.zeros(3), num_steps=2
    )
    chex.assert_trees_all_close(found.values, jnp.array([3.0, 3.0, 0.0]), rtol=1e-6)


def test_what_is_as_in_the_baseline_gets_nothing():
    inputs = drawn(1)
    baseline = drawn(2).at[1].set(inputs[1])
    found = integrated_gradients(network, inputs, baseline)
    assert not np.any(found.values[1])
    assert np.all(found.values[0])


def test_no_steps_and_other_shapes_are_refused():
    with pytest.raises(ValueError, match="num_steps is 0; give 1 or more"):
        integrated_gradients(network, drawn(1), drawn(2), num_steps=0)
    with pytest.raises(AssertionError, match="differ in shape"):
        integrated_gradients(network, drawn(1), jnp.zeros((3, 1)))
