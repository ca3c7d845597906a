"""Tests for the meta-gradient estimators on an inner problem solvable by hand.

What adapts begins at f_0 = 2 w and descends (f - s)^2 / 2 at a learned rate lr, so
that f_K = s + (1 - lr)^K (f_0 - s); then `finish` adds a shift.
"""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from metaflax import algorithms, base, estimators
from tests.algorithms import text_free

K, S, Q = 3, -1.0, 0.5
PARAMS = {"w": 1.5, "lr": 0.1, "shift": 0.25, "direct": 1.0}
START, RATE = 2 * PARAMS["w"], PARAMS["lr"]
SHRINK = (1 - RATE) ** K
FAST = S + SHRINK * (START - S)
ERROR = FAST + PARAMS["shift"] - Q
VALUE = 0.5 * ERROR**2 + 3 * PARAMS["direct"]

PROBLEM = base.InnerProblem(
    start=lambda params, support, key: (2 * params["w"], params["shift"]),
    loss=lambda fast, fixed, support, key: 0.5 * (fast - support.targets) ** 2,
    optimizer=lambda params: optax.sgd(params["lr"]),
    num_steps=K,
    finish=lambda fast, fixed: fast + fixed,
)


def query_loss(params, adapted, query, key):
    return 0.5 * (adapted - query.targets) ** 2 + 3 * params["direct"]


def value_and_grad(estimator):
    def batch(target):
        return base.Batch(None, jnp.asarray(target), jnp.ones(()))

    loss = estimator(PROBLEM, query_loss)
    params = jax.tree.map(jnp.asarray, PARAMS)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, base.Task(batch(S), batch(Q))
    )


CLOSED_FORMS = {
    estimators.reverse: {
        "w": 2 * SHRINK * ERROR,
        "lr": -K * (1 - RATE) ** (K - 1) * (START - S) * ERROR,
        "shift": ERROR,
        "direct": 3.0,
    },
    # Through the start and the rates, as if inner gradients were given numbers.
    estimators.first_order: {
        "w": 2 * ERROR,
        "lr": -sum((1 - RATE) ** k for k in range(K)) * (START - S) * ERROR,
        "shift": ERROR,
        "direct": 3.0,
    },
    # How far the inner steps went, carried back through the start alone.
    estimators.displacement: {
        "w": 2 * (START - FAST),
        "lr": 0.0,
        "shift": 0.0,
        "direct": 0.0,
    },
    estimators.constant: {"w": 0.0, "lr": 0.0, "shift": 0.0, "direct": 0.0},
}


@pytest.mark.parametrize("estimator", CLOSED_FORMS)
def test_the_meta_gradient_has_its_closed_form(estimator):
    _, grads = value_and_grad(estimator)
    chex.assert_trees_all_close(
        grads, jax.tree.map(jnp.asarray, CLOSED_FORMS[estimator]), rtol=1e-5
    )


@pytest.mark.parametrize("estimator", CLOSED_FORMS)
def test_the_value_is_the_query_loss_whatever_the_gradient(estimator):
    (value, info), _ = value_and_grad(estimator)
    chex.assert_trees_all_close(value, VALUE, rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, value)
    distances = (1 - RATE) ** jnp.arange(K, dtype=float) * (START - S)
    chex.assert_trees_all_close(info.losses, 0.5 * distances**2, rtol=1e-5)


def test_every_exported_estimator_is_here():
    assert {e.__name__ for e in CLOSED_FORMS} == set(estimators.__all__)


def test_first_order_proto_maml_that_does_not_move_learns_as_protonet():
    """Its gradient passes through the prototypes into the encoder, in full."""
    protonet = text_free.make("protonet")
    proto_maml = text_free.make("proto_maml", inner_optimizer=optax.sgd(0.0))
    params, task = protonet.init(jax.random.key(0)), text_free.task()
    expected, grads = (
        jax.jit(jax.grad(algorithm.loss, has_aux=True))(params, task)[0]
        for algorithm in (protonet, proto_maml)
    )
    chex.assert_trees_all_close(grads, expected, rtol=1e-5, atol=1e-6)
    assert algorithms.proto_maml.__kwdefaults__["estimator"] is estimators.first_order
