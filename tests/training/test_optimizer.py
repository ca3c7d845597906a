"""Tests for the outer optimizer and its schedule."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import training

PARAMS = {
    "encoder": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)},
    "head": {"kernel": jnp.full((2, 2), 2.0), "log_temperature": jnp.array(2.0)},
}
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)
ONES = jax.tree.map(jnp.ones_like, PARAMS)
NUM_ONES = 11


def first_updates(grads, *args, **kwargs):
    optimizer = training.outer_optimizer(*args, **kwargs)
    return optimizer.update(grads, optimizer.init(PARAMS), PARAMS)[0]


def test_decay_shrinks_matrices_only():
    updates = first_updates(ZEROS, "adamw", 0.1, weight_decay=0.5)
    expected = jax.tree.map(
        lambda x: -0.1 * 0.5 * x if x.ndim > 1 else jnp.zeros_like(x), PARAMS
    )
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["lion", "adadelta"])
def test_whatever_its_mask_is_called_an_optimizer_leaves_vectors_alone(name):
    updates = first_updates(ZEROS, name, 0.1, weight_decay=0.5)
    assert np.all(np.asarray(updates["encoder"]["kernel"]) < 0)
    assert np.all(np.asarray(updates["encoder"]["bias"]) == 0)
    assert updates["head"]["log_temperature"] == 0


@pytest.mark.parametrize(
    ("clip_norm", "expected"), [(1.0, -1 / np.sqrt(NUM_ONES)), (10.0, -1), (None, -1)]
)
def test_gradients_are_clipped_by_their_global_norm(clip_norm, expected):
    updates = first_updates(ONES, "sgd", 1.0, clip_norm=clip_norm)
    chex.assert_trees_all_close(
        updates, jax.tree.map(lambda x: expected * x, ONES), rtol=1e-6
    )


def test_the_norm_that_clips_is_over_encoder_and_head_together():
    updates = first_updates(ONES, "sgd", 1.0, head_learning_rate=1.0)
    chex.assert_trees_all_close(
        updates, jax.tree.map(lambda x: -x / np.sqrt(NUM_ONES), ONES), rtol=1e-6
    )


def test_the_head_may_learn_at_a_rate_of_its_own():
    updates = first_updates(ONES, "sgd", 0.1, head_learning_rate=3.0, clip_norm=None)
    expected = {
        "encoder": jax.tree.map(lambda x: -0.1 * x, ONES["encoder"]),
        "head": jax.tree.map(lambda x: -3.0 * x, ONES["head"]),
    }
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)


LEARNED = {
    "encoder": {"inner": {"kernel": jnp.full((2, 2), 2.0)}},
    "head": {"inner": jnp.full((2, 2), 2.0)},
    "inner": {"encoder": {"kernel": jnp.full((2, 2), 2.0)}, "head": jnp.array(2.0)},
    "inner_layer": jnp.full((2, 2), 2.0),
}
RATES = [{}, {"inner_learning_rate": 0.1}, {"head_learning_rate": 0.1}]
RATES += [{"inner_learning_rate": 0.1, "head_learning_rate": 0.1}]


def updates_of_learned(value, *args, **kwargs):
    optimizer = training.outer_optimizer(*args, clip_norm=None, **kwargs)
    grads = jax.tree.map(lambda x: jnp.full_like(x, value), LEARNED)
    return optimizer.update(grads, optimizer.init(LEARNED), LEARNED)[0]


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", ["adamw", "lion", "adadelta", "novograd"])
def test_what_an_inner_optimizer_learned_never_decays(name, rates):
    updates = updates_of_learned(0.0, name, 0.1, weight_decay=0.5, **rates)
    for part, values in updates.items():
        for update in jax.tree.leaves(values):
            assert np.all(np.asarray(update) == 0) == (part == "inner")


@pytest.mark.parametrize("head_rate", [None, 3.0])
@pytest.mark.parametrize("inner_rate", [None, 5.0, optax.constant_schedule(5.0)])
def test_what_an_inner_optimizer_learned_may_have_a_rate_of_its_own(
    head_rate, inner_rate
):
    updates = updates_of_learned(
        1.0,
        "sgd",
        0.5,
        head_learning_rate=head_rate,
        inner_learning_rate=inner_rate,
    )
    rates = {
        "encoder": 0.5,
        "head": head_rate or 0.5,
        "inner": 5.0 if inner_rate else 0.5,
        "inner_layer": 0.5,
    }
    expected = {
        part: jax.tree.map(lambda x, r=r: jnp.full_like(x, -r), LEARNED[part])
        for part, r in rates.items()
    }
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lion", "adafactor"])
def test_the_names_that_the_message_gives_are_names(name):
    updates = first_updates(ONES, name, 0.1, head_learning_rate=0.2)
    assert all(np.all(np.asarray(u) < 0) for u in jax.tree.leaves(updates))


@pytest.mark.parametrize("name", ["adamwww", "chain", "losses", "scale", "__doc__"])
def test_an_unknown_name_is_refused_with_known_ones(name):
    with pytest.raises(ValueError, match=f"no optimizer {name!r}; take adamw, adam"):
        training.outer_optimizer(name)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [0.0, 1.0, 2.0, 2.0, 2.0]),
        ("linear", [0.0, 1.0, 2.0, 1.0, 0.0]),
        ("cosine", [0.0, 1.0, 2.0, 1.0, 0.0]),
    ],
)
def test_a_schedule_rises_then_stays_or_falls_to_zero(shape, expected):
    rates = training.schedule(shape, 2.0, num_steps=12, warmup_steps=4)
    found = [float(rates(step)) for step in (0, 2, 4, 8, 12)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_cosine_is_flat_at_first_where_a_line_is_not():
    cosine, line = (training.schedule(s, 1.0, 8, 0)(2) for s in ("cosine", "linear"))
    np.testing.assert_allclose(cosine, (1 + np.cos(np.pi / 4)) / 2, rtol=1e-6)
    np.testing.assert_allclose(line, 0.75, rtol=1e-6)


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine"])
def test_without_warmup_the_first_rate_is_the_whole_one(shape):
    assert float(training.schedule(shape, 2.0, 10, 0)(0)) == 2.0


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, np.inf])
def test_rates_and_norms_are_positive(rate):
    for name in ("learning_rate", "head_learning_rate", "inner_learning_rate"):
        with pytest.raises(ValueError, match=f"{name} is .*; give a finite number"):
            training.outer_optimizer("sgd", **{name: rate})
    with pytest.raises(ValueError, match="learning_rate is "):
        training.schedule("constant", rate, 10, 0)
    if rate != np.inf:
        with pytest.raises(ValueError, match="clip_norm is .*; give a number above 0"):
            training.outer_optimizer("sgd", clip_norm=rate)


@pytest.mark.parametrize("warmup", [-1, 11])
def test_warmup_is_within_the_steps(warmup):
    with pytest.raises(ValueError, match=f"warmup_steps is {warmup}; give 0 to"):
        training.schedule("linear", 1.0, 10, warmup)


def test_an_unknown_schedule_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'step'; known: constant, linear, cosine"):
        training.schedule("step", 1.0, 10, 0)
