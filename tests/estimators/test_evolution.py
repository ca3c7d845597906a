"""Tests for evolution strategies on losses whose smoothed gradient is known."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import base, estimators
from tests.algorithms import text_free

PROBLEM = base.InnerProblem(
    start=lambda params, support, key: (params["w"], None),
    loss=lambda fast, fixed, support, key: 0.5 * jnp.sum((fast - support.targets) ** 2),
    optimizer=lambda params: optax.sgd(params["rate"]),
    num_steps=2,
)
PARAMS = {"w": jnp.array([1.0, -2.0]), "rate": jnp.asarray(0.2)}
TASK = base.Task(
    *(base.Batch(None, jnp.array(t), None) for t in ([0.5, 1.0], [0.0, 3.0]))
)


def query_loss(params, adapted, query, key):
    return 0.5 * jnp.sum((adapted - query.targets) ** 2)


def gradient(seed=0, **kwargs):
    loss = estimators.evolution(**kwargs)(PROBLEM, query_loss)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(
        PARAMS, TASK, jax.random.key(seed)
    )


@pytest.mark.parametrize("name", ["w", "rate"])
def test_many_pairs_come_close_to_the_exact_gradient(name):
    exact = jax.grad(estimators.reverse(PROBLEM, query_loss), has_aux=True)
    expected, _ = exact(PARAMS, TASK)
    (value, info), grads = gradient(sigma=1e-2, num_pairs=20_000, perturbs=name)
    size = np.linalg.norm(expected[name])
    chex.assert_trees_all_close(grads[name], expected[name], atol=0.03 * size)
    chex.assert_trees_all_close(value, info.query_loss)


def test_on_a_parabola_a_pair_gives_the_exact_slope_along_its_noise():
    """L(w + s e) - L(w - s e) = 2 s <L'(w), e> there, whatever s; then times e."""
    _, first = gradient(sigma=0.3, num_pairs=1, perturbs="w")
    _, again = gradient(sigma=0.003, num_pairs=1, perturbs="w")
    chex.assert_trees_all_close(first, again, rtol=1e-3)
    expected, _ = jax.grad(estimators.reverse(PROBLEM, query_loss), has_aux=True)(
        PARAMS, TASK
    )
    # Along e, which is where the estimate g = <L', e> e points, <g, L'> = <L', e>^2.
    assert np.vdot(first["w"], expected["w"]) > 0
    assert first["rate"] == 0


def test_only_what_it_perturbs_learns():
    _, grads = gradient(sigma=1e-2, num_pairs=4, perturbs="rate")
    assert np.all(np.asarray(grads["w"]) == 0)
    assert grads["rate"] != 0


def test_the_encoder_learns_even_where_it_does_not_adapt():
    """Features must not be computed before the parameters are moved."""
    algorithm = text_free.make("anil", estimator=estimators.evolution(1e-2, 4))
    params = algorithm.init(jax.random.key(0))
    grads, _ = jax.jit(jax.grad(algorithm.loss, has_aux=True))(
        params, text_free.task(), jax.random.key(1)
    )
    assert np.any(np.asarray(grads["encoder"]["kernel"]) != 0)


def test_no_key_is_refused_with_the_way_out():
    loss = estimators.evolution()(PROBLEM, query_loss)
    with pytest.raises(ValueError, match="perturbations from a key and got none; pass"):
        loss(PARAMS, TASK)


@pytest.mark.parametrize("kwargs", [{"sigma": 0.0}, {"num_pairs": 0}])
def test_no_noise_and_no_pairs_are_refused(kwargs):
    with pytest.raises(ValueError, match="positive sigma and at least one pair"):
        estimators.evolution(**kwargs)
