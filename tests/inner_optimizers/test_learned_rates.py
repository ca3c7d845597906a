"""Tests for learned rates, on the quadratic where a step multiplies by (1 - rate)."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax.inner_optimizers import learned_rates
from tests.inner_optimizers import problems

KEY = jax.random.key(0)
FAST = {
    "layer_0": {"up": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 4.0)}},
    "layer_1": {"up": {"kernel": jnp.full((3, 1), 8.0), "bias": None}},
    "gain": jnp.array(16.0),
}


def adapted(optimizer, hyper, num_steps):
    return problems.solve(
        optimizer.make, hyper, FAST, None, num_steps, problems.half_square
    )


def first_value(x):
    return float(jnp.ravel(x)[0])


def test_a_tensor_has_a_rate_in_its_place():
    hyper = learned_rates(0.5).init(KEY, FAST)
    expected = jax.tree.map(lambda x: jnp.array(0.5), FAST)
    chex.assert_trees_all_equal(hyper, expected)


def test_a_bare_array_has_a_bare_rate():
    chex.assert_trees_all_equal(learned_rates(0.5).init(KEY, jnp.ones(3)), 0.5)


def test_a_parameter_has_a_rate_in_its_place():
    hyper = learned_rates(0.5, per="parameter").init(KEY, FAST)
    expected = jax.tree.map(lambda x: jnp.full(x.shape, 0.5), FAST)
    chex.assert_trees_all_equal(hyper, expected)


def test_the_arrays_of_one_module_of_nnx_share_a_rate():
    nnx = pytest.importorskip("flax.nnx")

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.up = nnx.Linear(2, 3, rngs=rngs)
            self.down = nnx.Linear(3, 2, rngs=rngs)

    _, state = nnx.split(Network(nnx.Rngs(0)))
    optimizer = learned_rates(0.5, per="layer")
    hyper = optimizer.init(KEY, state)
    assert set(hyper) == {"up", "down"}
    made = optimizer.make({"up": jnp.array(0.25), "down": jnp.array(0.0)})
    updates, _ = made.update(state, made.init(state))
    chex.assert_trees_all_close(
        jax.tree.leaves(updates["up"]),
        [-0.25 * x for x in jax.tree.leaves(state["up"])],
    )
    assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(updates["down"]))


def test_a_leaf_that_is_called_value_is_one_of_its_module():
    layer = {"attention": {"value": jnp.ones(2), "query": jnp.ones(2)}}
    assert set(learned_rates(0.5, per="layer").init(KEY, layer)) == {"attention"}


def test_the_arrays_of_one_module_share_a_rate():
    optimizer = learned_rates(0.5, per="layer")
    hyper = optimizer.init(KEY, FAST)
    assert set(hyper) == {"layer_0/up", "layer_1/up", "(top)"}
    rates = {"layer_0/up": 0.25, "layer_1/up": -0.5, "(top)": 0.0}
    found = adapted(optimizer, {k: jnp.array(v) for k, v in rates.items()}, 1)
    chex.assert_trees_all_equal(
        jax.tree.map(first_value, found),
        {
            "layer_0": {"up": {"kernel": 1.5, "bias": 3.0}},
            "layer_1": {"up": {"kernel": 12.0, "bias": None}},
            "gain": 16.0,
        },
    )


def test_the_gradient_of_a_shared_rate_is_the_sum_over_what_shares_it():
    optimizer = learned_rates(0.5, per=lambda path: "all")

    def total(hyper):
        return optax.tree.sum(adapted(optimizer, hyper, 1))

    hyper = optimizer.init(KEY, FAST)
    assert list(hyper) == ["all"]
    expected = -optax.tree.sum(FAST)
    np.testing.assert_allclose(jax.grad(total)(hyper)["all"], expected)


@pytest.mark.parametrize("per", ["tensor", "layer", lambda path: "all"])
def test_each_step_has_its_rate_and_those_beyond_take_the_last(per):
    optimizer = learned_rates(0.5, per=per, num_steps=3)
    start = optimizer.init(KEY, FAST)
    chex.assert_trees_all_equal(start, jax.tree.map(lambda x: jnp.full(3, 0.5), start))
    rates = [0.5, -1.0, 0.25]
    hyper = jax.tree.map(lambda x: jnp.array(rates), start)
    for num_steps in (1, 2, 3, 5):
        taken = [*rates, 0.25, 0.25][:num_steps]
        factor = np.prod([1 - rate for rate in taken])
        chex.assert_trees_all_close(
            adapted(optimizer, hyper, num_steps),
            jax.tree.map(lambda x, factor=factor: factor * x, FAST),
            rtol=1e-6,
        )


def test_a_rate_of_a_step_that_was_not_taken_has_no_gradient():
    optimizer = learned_rates(0.5, per="layer", num_steps=3)

    def total(hyper):
        return optax.tree.sum(adapted(optimizer, hyper, 2))

    grads = jax.grad(total)(optimizer.init(KEY, FAST))
    for grad in grads.values():
        assert [bool(x) for x in grad] == [True, True, False]


def test_a_rate_of_a_parameter_may_be_negative():
    optimizer = learned_rates(0.5, per="parameter")
    rates = problems.off_start(jax.tree.map(jnp.negative, optimizer.init(KEY, FAST)))
    chex.assert_trees_all_close(
        adapted(optimizer, rates, 1),
        jax.tree.map(lambda x, rate: (1 - rate) * x, FAST, rates),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("optimizer", "plain"),
    [
        (optax.trace(0.9), optax.sgd(0.1, momentum=0.9)),
        (optax.scale_by_adam(eps_root=1e-8), optax.adam(0.1, eps_root=1e-8)),
        (optax.clip(0.01), optax.chain(optax.clip(0.01), optax.sgd(0.1))),
    ],
    ids=["momentum", "adam", "clip"],
)
@pytest.mark.parametrize("num_steps", [None, 2])
def test_any_optimizer_gives_the_direction(optimizer, plain, num_steps):
    fast, support = problems.fast_like(), problems.support_like()
    rates = learned_rates(0.1, num_steps=num_steps, optimizer=optimizer)
    found = problems.solve(rates.make, rates.init(KEY, fast), fast, support)
    expected = problems.solve_plain(plain, fast, support)
    chex.assert_trees_all_equal(found, expected)


@pytest.mark.parametrize("per", ["block", None, 3])
def test_an_unknown_part_is_refused_with_the_known_ones(per):
    with pytest.raises(ValueError, match=f"{per!r}; known: tensor, layer, parameter"):
        learned_rates(per=per)


@pytest.mark.parametrize("num_steps", [0, -1])
def test_a_number_of_steps_is_positive(num_steps):
    with pytest.raises(ValueError, match=f"got {num_steps}; None has one rate"):
        learned_rates(num_steps=num_steps)


def test_rates_of_each_parameter_at_each_step_are_refused():
    with pytest.raises(ValueError, match="take per='tensor', or num_steps=None"):
        learned_rates(per="parameter", num_steps=2)
