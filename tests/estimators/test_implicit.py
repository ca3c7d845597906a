"""Tests for the implicit meta-gradient, where minima have a closed form.

The inner objective (f - s)' A (f - s) / 2 - c' f + lam / 2 |f - f_0|^2 has its minimum
at (A + lam)^-1 (A s + c + lam f_0), linear in the start f_0 and in c.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import base, estimators, inner_optimizers, linalg

LAM, D = 0.5, 4
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(D, D))
A = ROOT @ ROOT.T / D
S, Q, START, C = RNG.normal(size=(4, D))
INVERSE = np.linalg.inv(A + LAM * np.eye(D))
MINIMUM = INVERSE @ (A @ S + C + LAM * START)
PARAMS = {"start": START, "c": C, "direct": np.asarray(2.0)}
TASK = base.Task(base.Batch(None, S, np.ones(())), base.Batch(None, Q, np.ones(())))


def support_loss(fast, fixed, support, key):
    moved = fast - support.targets
    return 0.5 * moved @ jnp.asarray(A, fast.dtype) @ moved - fixed["c"] @ fast


def query_loss(params, adapted, query, key):
    return 0.5 * jnp.sum((adapted - query.targets) ** 2) * params["direct"]


def problem(**changes):
    return base.InnerProblem(
        **{
            "start": lambda params, support, key: (
                params["start"],
                {"c": params["c"], "number": 3},
            ),
            "loss": support_loss,
            "optimizer": optax.sgd(0.4),
            "num_steps": 400,
            "proximal": LAM,
            **changes,
        }
    )


def meta_gradient(estimator, **changes):
    loss = estimator(problem(**changes), query_loss)
    with jax.enable_x64(True):
        params, task = jax.tree.map(jnp.asarray, (PARAMS, TASK))
        fn = jax.jit(jax.value_and_grad(loss, has_aux=True))
        return jax.device_get(fn(params, task, None))


ERROR = MINIMUM - Q
EXPECTED = {
    "start": LAM * INVERSE @ ERROR * 2.0,
    "c": INVERSE @ ERROR * 2.0,
    "direct": np.asarray(0.5 * ERROR @ ERROR),
}
SOLVERS = {
    "conjugate gradients": functools.partial(
        linalg.conjugate_gradient, max_steps=D + 1, tolerance=1e-12
    ),
    "neumann": functools.partial(linalg.neumann_series, step_size=0.4, num_steps=400),
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_meta_gradient_has_its_closed_form(solver):
    estimator = estimators.implicit(SOLVERS[solver])
    (value, info), grads = meta_gradient(estimator)
    chex.assert_trees_all_close(grads, EXPECTED, rtol=1e-8)
    np.testing.assert_allclose(value, ERROR @ ERROR, rtol=1e-8)
    np.testing.assert_allclose(info.query_loss, value)
    assert info.losses.shape == (400,)
    assert info.slope < 1e-9
    assert info.residual < 1e-8


def test_exact_reverse_mode_agrees_at_convergence():
    _, implicit = meta_gradient(estimators.implicit(SOLVERS["conjugate gradients"]))
    _, reverse = meta_gradient(estimators.reverse)
    chex.assert_trees_all_close(implicit, reverse, rtol=1e-7)


def test_the_info_tells_how_far_from_a_minimum_and_from_a_solution_it_is():
    coarse = functools.partial(linalg.conjugate_gradient, max_steps=1)
    (_, info), _ = meta_gradient(estimators.implicit(coarse), num_steps=15)
    assert info.slope > 1e-6
    assert info.residual > 1e-3


def test_damping_solves_a_stiffer_system():
    damped = functools.partial(
        linalg.conjugate_gradient, max_steps=D + 1, tolerance=1e-12, damping=10.0
    )
    _, grads = meta_gradient(estimators.implicit(damped))
    stiff = np.linalg.inv(A + (LAM + 10) * np.eye(D))
    chex.assert_trees_all_close(grads["c"], stiff @ ERROR * 2.0, rtol=1e-8)


def test_no_derivative_of_the_steps_is_kept():
    """Memory of the backward pass does not depend on the number of inner steps."""
    loss = estimators.implicit()(problem(), query_loss)
    few = estimators.implicit()(problem(num_steps=20), query_loss)
    params, task = jax.tree.map(jnp.asarray, (PARAMS, TASK))
    many_bytes, few_bytes = (
        jax.jit(jax.grad(fn, has_aux=True))
        .lower(params, task, None)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for fn in (loss, few)
    )
    # Only the log of losses grows, by one number per step and a copy or two of it.
    assert many_bytes - few_bytes < 16 * 380


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proximal": 0.0}, "proximal=0.0; give a positive one.*take reverse"),
        ({"num_steps": 2}, "2 of this inner optimizer leave 0.64.*take more steps"),
        ({"optimizer": optax.sgd(5.0)}, "leave .* of a distance"),
        ({"optimizer": lambda params: optax.sgd(0.4)}, "cannot learn an inner"),
    ],
)
def test_what_it_cannot_serve_is_refused_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        estimators.implicit()(problem(**changes), query_loss)


def test_a_learned_inner_optimizer_is_refused_through_imaml_too():
    from metaflax import algorithms

    with pytest.raises(ValueError, match="cannot learn an inner optimizer"):
        algorithms.imaml(
            lambda w, x, key: w * x,
            lambda outputs, y, weights: jnp.mean((outputs - y) ** 2),
            lambda key: jnp.zeros(()),
            inner_optimizers.learned_rates(0.1),
        )
