"""Tests that the check of meta-gradients passes correct gradients only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, estimators, testing
from tests.algorithms import text_free


def algorithm_with(gradient_of):
    """An algorithm with a parameter w, the loss sin(w x), and a custom derivative."""

    @jax.custom_vjp
    def loss_at(w, x):
        return jnp.sin(w * x)

    loss_at.defvjp(
        lambda w, x: (loss_at(w, x), (w, x)),
        lambda kept, g: (g * gradient_of(*kept), None),
    )

    def loss(params, task, key=None, step=None):
        value = loss_at(params["w"], task.query.inputs)
        return value, base.MetaInfo(jnp.zeros(0), value)

    return base.MetaAlgorithm(
        init=lambda key: {"w": jnp.asarray(0.5, jnp.float32)},
        adapt=lambda params, support, key=None: (params, None),
        predict=lambda params, adapted, inputs, key=None: inputs,
        loss=loss,
    )


BATCH = base.Batch(jnp.asarray(2.0), jnp.zeros(1), jnp.ones(1))
TASK = base.Task(BATCH, BATCH)


def test_the_right_derivative_passes():
    testing.check_meta_gradient(algorithm_with(lambda w, x: x * jnp.cos(w * x)), TASK)


@pytest.mark.parametrize("factor", [1 + 1e-5, 0.0, -1.0])
def test_a_wrong_derivative_is_told_with_both_numbers(factor):
    wrong = algorithm_with(lambda w, x: factor * x * jnp.cos(w * x))
    slope = 2 * np.cos(1.0)
    with pytest.raises(AssertionError, match="differences of the loss give") as caught:
        testing.check_meta_gradient(wrong, TASK)
    assert f"{slope:.6f}"[:6] in str(caught.value)


def test_an_error_of_one_leaf_among_many_is_found():
    algorithm = text_free.make("maml")
    tilted = algorithm._replace(
        loss=lambda params, *args: algorithm.loss(
            {
                **params,
                "head": {
                    **params["head"],
                    # The same value, a derivative that is one thousandth off.
                    "bias": 1.001 * params["head"]["bias"]
                    - jax.lax.stop_gradient(0.001 * params["head"]["bias"]),
                },
            },
            *args,
        )
    )
    testing.check_meta_gradient(algorithm, text_free.task())
    with pytest.raises(AssertionError):
        testing.check_meta_gradient(tilted, text_free.task())


def test_estimators_that_are_no_derivative_do_not_pass():
    for estimator in (estimators.first_order, estimators.displacement):
        algorithm = text_free.make("maml", estimator=estimator)
        with pytest.raises(AssertionError, match="relative error"):
            testing.check_meta_gradient(algorithm, text_free.task())


def test_only_the_chosen_parameters_are_moved_and_none_is_refused():
    algorithm = text_free.make("maml")
    testing.check_meta_gradient(
        algorithm, text_free.task(), trains="head/bias", key=jax.random.key(1)
    )
    with pytest.raises(ValueError, match="no parameter matches 'hed'"):
        testing.check_meta_gradient(algorithm, text_free.task(), trains="hed")
