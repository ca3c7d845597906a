"""Tests that a member's steps change only the encoder and its own parameters.

The loss of each member is linear in its parameters, so that gradients are ones and
every update is known.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import base, training
from metaflax.base._model import RowTable
from metaflax.training import _mixture

NAMES = ("first", "second")
RATE = 0.1


def algorithm():
    def loss(params, task, key=None, step=None):
        value = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params))
        value = value * jnp.mean(task.query.inputs)
        return value, base.MetaInfo(jnp.zeros(0), jax.lax.stop_gradient(value))

    def init(key):
        return {"encoder": {"w": jnp.ones((2, 2))}, "head": {"w": jnp.ones((2, 3))}}

    return base.MetaAlgorithm(init, lambda *args: None, lambda *args: None, loss)


PARAMS = _mixture.shared_params(dict.fromkeys(NAMES, algorithm().init(None)))
BATCH = base.Batch(jnp.ones((1, 4)), jnp.ones((1, 4)), jnp.ones((1, 4)))
TASKS = base.Task((), BATCH)


def step_of(name, optimizer, *, loss_weight=1.0, clip_norm=None, trains=("*",)):
    return training.make_step(
        _mixture.for_member(algorithm(), name, loss_weight),
        _mixture.mixture_optimizer(optimizer, NAMES, name, clip_norm),
        trains=_mixture.member_paths(name, list(trains)),
    )


def start(optimizer, clip_norm=None, trains=("*",)):
    return training.create(
        PARAMS,
        _mixture.mixture_optimizer(optimizer, NAMES, NAMES[0], clip_norm),
        jax.random.key(0),
        trains=list(trains),
    )


def after(names, optimizer, **kwargs):
    state = start(optimizer)
    steps = {name: step_of(name, optimizer, **kwargs) for name in NAMES}
    for name in names:
        state, _ = steps[name](state, TASKS)
    return state


def test_what_is_another_members_stays_as_it_is_to_the_last_bit():
    optimizer = training.outer_optimizer("adamw", RATE, clip_norm=None)
    once = after(["first"], optimizer)
    later = after(["first", *["second"] * 3], optimizer)
    own = [s.params["head"]["first"] for s in (once, later)]
    chex.assert_trees_all_equal(*own)
    moments = [s.opt_state.parts["own_first"] for s in (once, later)]
    chex.assert_trees_all_equal(*moments)
    assert np.any(later.params["encoder"]["w"] != once.params["encoder"]["w"])
    assert np.any(later.params["head"]["second"]["w"] != 1)


def test_a_member_that_starts_late_moves_as_one_that_took_its_first_step():
    """By Adam's bias correction, which counts the steps of the member."""
    optimizer = training.outer_optimizer("adam", RATE, clip_norm=None)
    late = after([*["first"] * 20, "second"], optimizer)
    chex.assert_trees_all_close(
        late.params["head"]["second"]["w"], jnp.full((2, 3), 1 - RATE), rtol=1e-5
    )


def test_rates_follow_the_steps_of_the_run_whoever_took_them():
    rate = training.schedule("linear", RATE, 4, 0)
    optimizer = training.outer_optimizer("sgd", rate, clip_norm=None)
    state = after(["first", "first", "second"], optimizer)
    moved = {name: 1 - state.params["head"][name]["w"][0, 0] for name in NAMES}
    assert moved["first"] == pytest.approx(RATE * (1 + 3 / 4), rel=1e-5)
    assert moved["second"] == pytest.approx(RATE * 2 / 4, rel=1e-5)
    encoder = 1 - state.params["encoder"]["w"][0, 0]
    assert encoder == pytest.approx(RATE * (1 + 3 / 4 + 2 / 4), rel=1e-5)


def test_the_norm_that_clips_is_of_encoder_and_member_together():
    optimizer = training.outer_optimizer("sgd", 1.0, clip_norm=None)
    state = start(optimizer, clip_norm=1.0)
    state, metrics = step_of("first", optimizer, clip_norm=1.0)(state, TASKS)
    assert metrics["grad_norm"] == pytest.approx(np.sqrt(10))
    moved = 1 - state.params["encoder"]["w"]
    np.testing.assert_allclose(moved, 1 / np.sqrt(10), rtol=1e-5)


def test_a_loss_weighs_what_its_factor_says():
    optimizer = training.outer_optimizer("sgd", RATE, clip_norm=None)
    state = after(["first", "second"], optimizer, loss_weight=3.0)
    moved = 1 - state.params["encoder"]["w"]
    np.testing.assert_allclose(moved, 2 * 3 * RATE, rtol=1e-5)


def test_what_the_run_does_not_train_stays_whosever_step_it_is():
    optimizer = training.outer_optimizer("adamw", RATE, clip_norm=None)
    trains = ("*", "!encoder")
    state = start(optimizer, trains=trains)
    state, _ = step_of("second", optimizer, trains=trains)(state, TASKS)
    chex.assert_trees_all_equal(state.params["encoder"], PARAMS["encoder"])
    assert np.all(state.params["head"]["second"]["w"] != 1)


def test_a_member_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no part 'own_third' to be active"):
        _mixture.mixture_optimizer(optax.sgd(RATE), NAMES, "third")


def words():
    """An algorithm on word vectors, with compact rows."""
    maml = metaflax.fomaml(
        apply_fn=lambda params, ids, key: (
            params["encoder"]["words"][ids] + params["head"]["bias"]
        ),
        loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
        init_fn=lambda key: {
            "encoder": {"words": jnp.arange(6.0)},
            "head": {"bias": jnp.ones(1)},
        },
        inner_optimizer=optax.sgd(0.1),
        num_steps=2,
    )
    table = RowTable("encoder/words", lambda ids: ids, lambda ids, new: new)
    return maml, metaflax.compact_rows(maml, table)


def test_the_meta_gradient_is_the_members_own_with_few_rows_or_with_all():
    few, every = (_mixture.for_member(a, "first") for a in reversed(words()))
    own = few.init(jax.random.key(0))
    params = _mixture.shared_params({"first": own, "second": own})
    batch = base.Batch(jnp.array([[1, 4, 4]]), jnp.ones((1, 3)), jnp.ones((1, 3)))
    tasks = base.Task(batch, batch)
    found = [
        metaflax.value_and_grad(a, trains=_mixture.member_paths("first"))(
            params, tasks, None
        )
        for a in (few, every)
    ]
    (_, grads), (_, expected) = found
    assert grads["head"]["second"]["bias"] is None
    chex.assert_trees_all_close(grads, expected, rtol=1e-5)
    (_, alone) = metaflax.value_and_grad(words()[0])(own, tasks, None)
    chex.assert_trees_all_close(
        _mixture.member_params(grads, "first"), alone, rtol=1e-5
    )
    chex.assert_trees_all_equal(
        *(a.adapt(params, jax.tree.map(lambda x: x[0], batch))[1] for a in (few, every))
    )
