"""Tests for models and optimizers that are difficult cases in inner loops."""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax.core import freeze

import metaflax
from metaflax import testing


def squared(outputs, targets, weights):
    return jnp.sum(weights * (outputs - targets) ** 2) / jnp.sum(weights)


def affine(params, inputs, key):
    return params["w"] * inputs + params["b"]


def recurrent(params, inputs, key):
    def step(hidden, value):
        hidden = jnp.tanh(params["w"] * hidden + params["b"] * value)
        return hidden, hidden

    return jax.lax.scan(step, jnp.zeros((), inputs.dtype), inputs)[1]


def scalars(params):
    return jax.tree.map(lambda x: x.ndim == 0, params)


WEIGHTS = {"w": jnp.array(0.7), "b": jnp.array(0.2)}
CASES = {
    "parameters that no output depends on": (
        affine,
        {**WEIGHTS, "unused": jnp.ones(3)},
        optax.sgd(0.1),
    ),
    "a recurrent network": (recurrent, WEIGHTS, optax.sgd(0.1)),
    "a frozen dict and a mask of it": (
        affine,
        freeze(WEIGHTS),
        optax.masked(optax.sgd(0.1), scalars),
    ),
    "gaps in the parameters and a mask of the others": (
        affine,
        {**WEIGHTS, "activation": None},
        optax.adamw(0.1, eps_root=1e-6, mask=scalars),
    ),
    "gradients clipped in the inner loop": (
        affine,
        WEIGHTS,
        optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)),
    ),
    "some frozen by the inner optimizer": (
        affine,
        WEIGHTS,
        optax.multi_transform(
            {"train": optax.sgd(0.1), "freeze": optax.set_to_zero()},
            {"w": "train", "b": "freeze"},
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_meta_gradient_is_that_of_the_query_loss(case):
    apply_fn, params, optimizer = CASES[case]
    maml = metaflax.maml(apply_fn, squared, lambda key: params, optimizer, num_steps=2)
    inputs = jax.random.normal(jax.random.key(0), (2, 4))
    support, query = (metaflax.Batch(x, 2 * x + 1, jnp.ones_like(x)) for x in inputs)
    testing.check_meta_gradient(maml, metaflax.Task(support, query), params=params)


def test_the_first_order_gradient_is_finite_where_a_parameter_is_not_used():
    params = {**WEIGHTS, "unused": jnp.ones(3)}
    fomaml = metaflax.fomaml(affine, squared, lambda key: params, optax.sgd(0.1))
    inputs = jax.random.normal(jax.random.key(0), (1, 4))
    batch = metaflax.Batch(inputs, 2 * inputs, jnp.ones_like(inputs))
    _, grads = metaflax.value_and_grad(fomaml)(
        params, metaflax.Task(batch, batch), None
    )
    assert not grads["unused"].any()
    assert grads["w"] != 0
