"""Tests for the meta-gradient estimators on an inner problem solvable by hand.

The fast parameter starts at f_0 = 2 w and descends (f - s)^2 / 2 at a learned rate lr,
so that f_K = s + (1 - lr)^K (f_0 - s); then `finish` adds a shift.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, inner
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


def batch(target):
    return base.Batch(None, jnp.asarray(target), jnp.ones(()))


TASK = base.Task(batch(S), batch(Q))


def value_and_grad(estimator, problem=PROBLEM, step=None):
    loss = estimator(problem, query_loss)
    params = jax.tree.map(jnp.asarray, PARAMS)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params, TASK, None, step)


SLOPES = [(1 - RATE) ** k * (START - S) for k in range(K)]  # Of the support loss.
ERRORS = [S + (1 - RATE) ** k * (START - S) + PARAMS["shift"] - Q for k in (1, 2, 3)]
EXACT = {
    "w": 2 * SHRINK * ERROR,
    "lr": -K * (1 - RATE) ** (K - 1) * (START - S) * ERROR,
    "shift": ERROR,
    "direct": 3.0,
}
# Through the start and the rates, with inner gradients treated as constants.
FIRST_ORDER = {
    "w": 2 * ERROR,
    "lr": -sum(SLOPES) * ERROR,
    "shift": ERROR,
    "direct": 3.0,
}
# The last step shrinks the contributions of the others.
LAST_STEP_EXACT = {
    "w": 2 * (1 - RATE) * ERROR,
    "lr": -((1 - RATE) * (SLOPES[0] + SLOPES[1]) + SLOPES[2]) * ERROR,
    "shift": ERROR,
    "direct": 3.0,
}
# The displacement of the inner steps, backpropagated through the start only.
DISPLACEMENT = {"w": 2 * (START - FAST), "lr": 0.0, "shift": 0.0, "direct": 0.0}
NOTHING = {"w": 0.0, "lr": 0.0, "shift": 0.0, "direct": 0.0}

CLOSED_FORMS = {
    "reverse": (estimators.reverse, EXACT),
    "reverse, each step again": (
        functools.partial(estimators.reverse, remat_every=1),
        EXACT,
    ),
    "mixed_mode": (estimators.mixed_mode, EXACT),
    "mixed_mode, each step again": (
        functools.partial(estimators.mixed_mode, remat_every=1),
        EXACT,
    ),
    "mixed_mode, segments of two and one": (
        functools.partial(estimators.mixed_mode, remat_every=2),
        EXACT,
    ),
    "truncated to all": (estimators.truncated(K), EXACT),
    "truncated to more than all": (estimators.truncated(K + 2), EXACT),
    "truncated to one": (estimators.truncated(1), LAST_STEP_EXACT),
    "truncated to none": (estimators.truncated(0), FIRST_ORDER),
    "first_order": (estimators.first_order, FIRST_ORDER),
    "annealed": (estimators.annealed(5), EXACT),
    "displacement": (estimators.displacement, DISPLACEMENT),
    "constant": (estimators.constant, NOTHING),
}
every = pytest.mark.parametrize("name", CLOSED_FORMS)


@every
def test_the_meta_gradient_has_its_closed_form(name):
    estimator, expected = CLOSED_FORMS[name]
    _, grads = value_and_grad(estimator)
    chex.assert_trees_all_close(grads, jax.tree.map(jnp.asarray, expected), rtol=1e-5)


@every
def test_the_value_is_the_query_loss_whatever_the_gradient(name):
    (value, info), _ = value_and_grad(CLOSED_FORMS[name][0])
    chex.assert_trees_all_close(value, VALUE, rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, value)
    distances = (1 - RATE) ** jnp.arange(K, dtype=float) * (START - S)
    chex.assert_trees_all_close(info.losses, 0.5 * distances**2, rtol=1e-5)


def test_every_exported_estimator_has_a_closed_form_here_or_a_file_of_its_own():
    elsewhere = {"implicit", "evolution", "trajectory"}
    here = {name.split(",")[0].split(" ")[0] for name in CLOSED_FORMS}
    assert here | elsewhere == set(estimators.__all__)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, FIRST_ORDER), (4, FIRST_ORDER), (5, EXACT), (99, EXACT)]
)
def test_annealing_changes_the_order_at_its_step(step, expected):
    _, grads = value_and_grad(estimators.annealed(5), step=step)
    chex.assert_trees_all_close(grads, jax.tree.map(jnp.asarray, expected), rtol=1e-5)


def test_annealing_compiles_once_for_all_steps():
    loss = estimators.annealed(5)(PROBLEM, query_loss)
    params = jax.tree.map(jnp.asarray, PARAMS)
    counted = chex.assert_max_traces(lambda *args: loss(*args), n=1)
    fn = jax.jit(jax.grad(counted, has_aux=True))
    early, _ = fn(params, TASK, None, jnp.asarray(0))
    late, _ = fn(params, TASK, None, jnp.asarray(9))
    assert early["w"] != late["w"]


@pytest.mark.parametrize(
    "estimator", [estimators.reverse, estimators.mixed_mode, estimators.first_order]
)
def test_intermediate_steps_count_by_their_weights(estimator):
    weights = jnp.array([0.2, 0.3, 0.5])
    problem = PROBLEM._replace(query_weights=lambda step: weights * (step + 1))
    (value, info), grads = value_and_grad(estimator, problem, step=1)
    each = 0.5 * jnp.array(ERRORS) ** 2 + 3 * PARAMS["direct"]
    chex.assert_trees_all_close(value, 2 * jnp.vdot(weights, each), rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, VALUE, rtol=1e-6)
    chex.assert_trees_all_close(
        grads["shift"], 2 * jnp.vdot(weights, jnp.array(ERRORS)), rtol=1e-5
    )
    decay = 1.0 if estimator is estimators.first_order else 1 - RATE
    through = 2 * decay ** jnp.arange(1, K + 1, dtype=float) * jnp.array(ERRORS)
    chex.assert_trees_all_close(grads["w"], 2 * jnp.vdot(weights, through), rtol=1e-5)


def test_a_trajectory_learns_from_each_step_by_itself():
    (value, info), grads = value_and_grad(estimators.trajectory)
    each = jnp.array(ERRORS)
    losses = 0.5 * each**2 + 3 * PARAMS["direct"]
    chex.assert_trees_all_close(value, jnp.mean(losses), rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, VALUE, rtol=1e-6)
    expected = {
        "w": 2 * (START - FAST),
        "lr": -jnp.mean(each * jnp.array(SLOPES)),
        "shift": jnp.mean(each),
        "direct": 3.0,
    }
    chex.assert_trees_all_close(grads, jax.tree.map(jnp.asarray, expected), rtol=1e-5)


@pytest.mark.parametrize("estimator", [estimators.displacement, estimators.implicit()])
def test_what_judges_the_end_refuses_weights_of_the_way(estimator):
    problem = PROBLEM._replace(query_weights=lambda step: jnp.ones(K))
    with pytest.raises(ValueError, match="cannot serve query_weights.*take reverse"):
        estimator(problem, query_loss)


@pytest.mark.parametrize("estimator", [estimators.reverse, estimators.mixed_mode])
def test_segments_without_steps_are_refused(estimator):
    with pytest.raises(ValueError, match="remat_every.*got 0; give 1 or more"):
        estimator(PROBLEM, query_loss, remat_every=0)


def test_a_negative_truncation_is_refused():
    with pytest.raises(ValueError, match="last n steps, got -1"):
        estimators.truncated(-1)


def test_the_proximal_term_draws_every_step_to_the_start():
    problem = PROBLEM._replace(proximal=0.5)
    params = jax.tree.map(jnp.asarray, PARAMS)
    fast = inner.solve(problem, params, TASK.support).fast
    expected = START
    for _ in range(K):
        expected -= RATE * ((expected - S) + 0.5 * (expected - START))
    chex.assert_trees_all_close(fast, expected, rtol=1e-6)


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


def _without_second_derivative():
    """The square, as a function whose backward pass has no derivative."""

    def backward(x, g):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        # A call of the host has no derivative.
        return (g * jax.pure_callback(lambda x: np.asarray(2 * x), shape, x),)

    square = jax.custom_vjp(lambda x: x**2)
    square.defvjp(lambda x: (x**2, x), backward)
    return square


@pytest.mark.parametrize("num_steps", [1, 5])  # Unrolled, and in a loop.
def test_first_order_takes_kernels_without_a_second_derivative(num_steps):
    square = _without_second_derivative()

    def algorithm(estimator):
        return algorithms.maml(
            lambda w, x, key: w * x,
            lambda out, y, weights: jnp.sum(weights * square(out - y)),
            lambda key: jnp.zeros(()),
            optax.sgd(0.1),
            num_steps=num_steps,
            estimator=estimator,
        )

    batch = base.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
    task, start = base.Task(batch, batch), jnp.array(0.5)
    with pytest.raises(ValueError, match="differentiat|JVP"):
        jax.grad(algorithm(estimators.reverse).loss, has_aux=True)(start, task)
    grads, _ = jax.grad(algorithm(estimators.first_order).loss, has_aux=True)(
        start, task
    )
    # Each step goes a fifth of the way to 2; the gradient is twice the rest of the way.
    np.testing.assert_allclose(grads, -2 * 1.5 * 0.8**num_steps, rtol=1e-6)
