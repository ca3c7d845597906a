"""Tests for names of optimizers, and for their use in inner loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import _optimizers, algorithms, base, estimators, inner_optimizers

# Attributes of optax that are no optimizers, or need more than gradients.
OTHERS = ["losses", "chain", "apply_updates", "scale", "scale_by_adam", "clip"]
OTHERS += ["adamwww", "__doc__", "MultiSteps", "inject_hyperparams", "lookahead"]
OTHERS += ["polyak_sgd", "exponential_decay", "os:getcwd", "optax:scale"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_optimizer_with_a_learning_rate_is_refused(name):
    with pytest.raises(ValueError, match=f"no optimizer '{name}'; take adamw, adam"):
        _optimizers.by_name(name)


def test_an_optimizer_that_needs_more_than_gradients_is_refused():
    with pytest.raises(ValueError, match="'lbfgs' needs more than a learning rate"):
        _optimizers.by_name("lbfgs")


@pytest.mark.parametrize("name", ["missing:sgd", "optax:missing", "optax:"])
def test_an_import_path_that_leads_nowhere_is_refused(name):
    with pytest.raises(ValueError, match=f"the optimizer '{name}' cannot be imported"):
        _optimizers.by_name(name)


@pytest.mark.parametrize("name", ["sgd", "adam", "lion", "optax.contrib:muon"])
def test_every_optimizer_descends(name):
    start = {"kernel": jnp.full((2, 2), 3.0)}
    optimizer = _optimizers.by_name(name)(learning_rate=0.1)
    updates, _ = optimizer.update(start, optimizer.init(start), start)
    assert np.all(np.asarray(updates["kernel"]) < 0)


def test_all_attributes_of_optax_are_accepted_or_refused_in_a_sentence():
    accepted, messages = [], {}
    for name in dir(optax):
        try:
            _optimizers.by_name(name)
        except ValueError as error:
            messages[name] = str(error)
        else:
            accepted.append(name)
    assert all(repr(name) in message for name, message in messages.items())
    assert all("; take adamw" in message for message in messages.values())
    assert {"adamw", "sgd", "lion", "rmsprop"} <= set(accepted)
    assert not {"lbfgs", "polyak_sgd", "chain"} & set(accepted)


@pytest.mark.parametrize("rate", [0, -1e-3, np.nan, np.inf])
def test_rates_are_positive_and_finite(rate):
    with pytest.raises(ValueError, match="head_rate is .*; give a finite number above"):
        _optimizers.check_rates(rate=0.1, schedule=lambda step: rate, head_rate=rate)


SUPPORT = base.Batch(jnp.ones(3), jnp.full(3, 2.0), jnp.ones(3))
TASK = base.Task(SUPPORT, SUPPORT)


def loss_fn(outputs, targets, weights):
    return jnp.mean(weights * (outputs - targets) ** 2)


def make(inner_optimizer, factory=algorithms.maml, **options):
    return factory(
        lambda w, x, key: w["used"] * x,
        loss_fn,
        lambda key: {"used": jnp.zeros(()), "unused": jnp.zeros(2)},
        inner_optimizer,
        num_steps=2,
        **options,
    )


THROUGH = {
    "reverse": estimators.reverse,
    "mixed_mode": estimators.mixed_mode,
    "truncated": estimators.truncated(1),
    "trajectory": estimators.trajectory,
    "annealed": estimators.annealed(3),
    "remat": functools.partial(estimators.reverse, remat_every=1),
}
NOT_THROUGH = {
    "first_order": estimators.first_order,
    "displacement": estimators.displacement,
    "constant": estimators.constant,
    "truncated to none": estimators.truncated(0),
}
NO_DERIVATIVE = {
    "adam": optax.adam(0.1),
    "in a chain": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1)),
    "in MultiSteps": optax.MultiSteps(optax.adam(0.1), 1),
    "lamb": optax.lamb(0.1),
}


@pytest.mark.parametrize("estimator", THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("optimizer", NO_DERIVATIVE.values(), ids=NO_DERIVATIVE)
def test_a_root_without_derivative_at_0_is_refused_when_built(estimator, optimizer):
    with pytest.raises(ValueError, match=r"not finite .* optax\.adam\(0\.01, eps_root"):
        make(optimizer, estimator=estimator)


def test_learned_rates_refuse_it_too():
    with pytest.raises(ValueError, match="learned_rates differentiates"):
        inner_optimizers.learned_rates(optimizer=optax.scale_by_adam())


@pytest.mark.parametrize("estimator", NOT_THROUGH.values(), ids=NOT_THROUGH)
def test_it_serves_where_nothing_is_differentiated_through_it(estimator):
    algorithm = make(optax.adam(0.1), estimator=estimator)
    params = algorithm.init(jax.random.key(0))
    grads, _ = jax.grad(algorithm.loss, has_aux=True)(params, TASK)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(0.1, eps_root=1e-8),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
        optax.rmsprop(0.1),
        optax.adagrad(0.1),
        optax.lion(0.1),
        optax.MultiSteps(optax.sgd(0.1), 2),
        optax.polyak_sgd(0.1),
    ],
)
def test_what_is_accepted_has_a_finite_meta_gradient(optimizer):
    algorithm = make(optimizer)
    params = algorithm.init(jax.random.key(0))
    grads, _ = jax.grad(algorithm.loss, has_aux=True)(params, TASK)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))
    assert grads["used"] != 0


def test_building_within_jit_is_checked_as_well():
    with pytest.raises(ValueError, match="not finite"):
        jax.jit(lambda: make(optax.adam(0.1)).init(jax.random.key(0)))()


def test_the_step_of_polyak_sgd_follows_from_the_value_of_the_loss():
    """(w - 2)^2 from 0: value 4, gradient -4, a step of 4 / 16 times 4."""
    algorithm = make(optax.polyak_sgd(10.0))
    adapted, info = algorithm.adapt(algorithm.init(jax.random.key(0)), SUPPORT)
    np.testing.assert_allclose(info.losses, [4.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(adapted["used"], 1.5, rtol=1e-5)


def test_multi_steps_move_at_every_second_step():
    algorithm = make(optax.MultiSteps(optax.sgd(0.25), 2))
    adapted, info = algorithm.adapt(algorithm.init(jax.random.key(0)), SUPPORT)
    np.testing.assert_allclose(info.losses, [4.0, 4.0])
    np.testing.assert_allclose(adapted["used"], 1.0)


@pytest.mark.slow
def test_a_line_search_adapts_but_has_no_meta_gradient():
    algorithm = make(optax.lbfgs(), estimator=estimators.constant)
    adapted, _ = algorithm.adapt(algorithm.init(jax.random.key(0)), SUPPORT)
    np.testing.assert_allclose(adapted["used"], 2.0, rtol=1e-4)
    for name in ("reverse", "first_order"):
        with pytest.raises(ValueError, match=f"{name} differentiates .* reverse mode"):
            make(optax.lbfgs(), estimator=getattr(estimators, name))


def test_an_optimizer_of_other_parameters_is_refused_by_name():
    algorithm = make(optax.lookahead(optax.sgd(0.1), 2, 0.5))
    params = algorithm.init(jax.random.key(0))
    with pytest.raises(ValueError, match="the inner optimizer lookahead cannot take a"):
        algorithm.adapt(params, SUPPORT)


@pytest.mark.parametrize("optimizer", [0.1, optax.sgd, None, "sgd"])
def test_what_is_no_inner_optimizer_is_refused_with_one(optimizer):
    with pytest.raises(ValueError, match=r"inner optimizer is .*optax\.sgd\(0\.1\)"):
        make(optimizer)


@pytest.mark.parametrize(
    "estimator",
    [
        *(estimators.implicit, estimators.evolution, estimators.truncated),
        *(estimators.annealed, None, "reverse"),
    ],
)
def test_what_is_no_estimator_is_refused(estimator):
    with pytest.raises(ValueError, match=r"the estimator is .*implicit\(\), truncated"):
        make(optax.sgd(0.1), estimator=estimator)


@pytest.mark.parametrize("name", ["trajectory", "displacement"])
def test_what_learns_from_inner_steps_takes_one_or_more(name):
    with pytest.raises(ValueError, match=f"{name} .* one or more, got num_steps=0"):
        metaflax.algorithms.compose(
            lambda w, x, key: w * x,
            loss_fn,
            lambda key: jnp.zeros(()),
            head=None,
            adapts="*",
            inner_optimizer=optax.sgd(0.1),
            num_steps=0,
            estimator=getattr(estimators, name),
        )
