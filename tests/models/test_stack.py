"""Tests for layers in a loop, and for rematerialisation in the backward pass."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.layers import _stack
from tests.models.examples import CONFIG, packed, random_params, random_tokens

pytestmark = pytest.mark.thorough

DEEP = dataclasses.replace(CONFIG, num_hidden_layers=3)
PARAMS, VECTOR = random_params(DEEP), random_params(DEEP, seed=1)
TOKENS = random_tokens()


def loss_of(tokens=TOKENS, key=None, config=DEEP, **kwargs):
    apply = models.encoder(config, **kwargs).apply
    return lambda params: jnp.mean(jnp.sin(apply(params, tokens, key)))


@functools.cache
def derivatives(layer_loop, remat):
    """Loss and gradient, and their directional derivatives, with dropout."""
    loss = loss_of(
        packed(TOKENS),
        jax.random.key(1),
        pooling="first",
        layer_loop=layer_loop,
        remat=remat,
    )
    along = jax.jit(
        lambda params, vector: jax.jvp(jax.value_and_grad(loss), (params,), (vector,))
    )
    return along(PARAMS, VECTOR)


@pytest.mark.parametrize(
    ("layer_loop", "remat"),
    [
        pytest.param("scan", "layers", marks=pytest.mark.slow),
        pytest.param("unroll", "dots", marks=pytest.mark.slow),
        pytest.param("scan", "none", marks=pytest.mark.slow),
        pytest.param("scan", "dots", marks=pytest.mark.slow),
    ],
)
def test_how_layers_run_changes_no_number_and_no_derivative(layer_loop, remat):
    def check(first, second):
        scale = max(1.0, float(jnp.max(jnp.abs(first))))
        np.testing.assert_allclose(second, first, rtol=0, atol=1e-6 * scale)

    expected = derivatives("unroll", "none")
    jax.tree.map(check, expected, derivatives(layer_loop, remat))


@pytest.mark.parametrize(
    "remat", ["none", pytest.param("layers", marks=pytest.mark.slow)]
)
def test_layers_in_a_loop_may_differ_in_what_was_added_to_them(remat):
    params = models.with_adapters(PARAMS, jax.random.key(2), size=3, where="layer_1")
    gradients = [
        jax.jit(jax.grad(loss_of(layer_loop=layer_loop, remat=remat)))(params)
        for layer_loop in ("unroll", "scan")
    ]
    chex.assert_trees_all_close(*gradients, rtol=1e-5, atol=1e-6)


def count_loops(num_layers, **kwargs):
    config = dataclasses.replace(CONFIG, num_hidden_layers=num_layers)
    params = jax.eval_shape(models.encoder(config).init, jax.random.key(0))
    jaxpr = jax.make_jaxpr(loss_of(config=config, **kwargs))(params)
    loops = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    return [loop.params["length"] for loop in loops]


def test_loops_are_the_default_for_many_layers_and_for_layers_that_run_again():
    few, many = _stack.MIN_SCANNED - 1, _stack.MIN_SCANNED
    assert count_loops(few) == count_loops(many, layer_loop="unroll") == []
    assert count_loops(many) == [many]
    assert count_loops(many, pooling="first") == [many - 1]
    assert count_loops(few, layer_loop="scan") == [few]
    assert count_loops(few, remat="dots") == [few]
    assert count_loops(few, remat="layers", layer_loop="unroll") == []


@pytest.mark.parametrize(
    ("order", "task_loop"),
    [(1, "vmap"), pytest.param(2, "scan", marks=pytest.mark.slow)],
)
def test_the_more_runs_again_the_less_memory_a_backward_pass_takes(order, task_loop):
    config = dataclasses.replace(
        CONFIG, num_hidden_layers=6, max_position_embeddings=64
    )
    tokens = random_tokens(config, lengths=(64, 60), length=64)

    def temporary(remat):
        loss = loss_of(tokens, config=config, layer_loop="scan", remat=remat)

        def adapted(params):
            if order == 2:
                grads = jax.grad(loss)(params)
                params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
            return loss(params)

        fn = jax.grad(adapted)
        params = random_params(config)
        if task_loop == "vmap":
            params = jax.tree.map(lambda x: jnp.stack([x, x]), params)
            fn = jax.vmap(fn)
        compiled = jax.jit(fn).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    none, dots, layers = map(temporary, ("none", "dots", "layers"))
    assert none > 1.1 * dots > 1.1 * 1.1 * layers


def test_weights_that_layers_share_are_not_copied_in_a_loop():
    weight, biases = jnp.ones((3, 3)), jnp.ones((4, 1, 3))
    layer = lambda x, arguments: x @ arguments[0] + arguments[1]  # noqa: E731
    layers = [(layer, (weight, bias)) for bias in biases]
    run = lambda x: _stack.run_layers(x, layers, layer_loop="scan")  # noqa: E731
    jaxpr = str(jax.make_jaxpr(run)(jnp.ones((2, 3))))
    assert "4,1,3]" in jaxpr
    assert "4,3,3]" not in jaxpr


@pytest.mark.parametrize("name", ["layer_loop", "remat"])
def test_an_unknown_way_to_run_layers_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}='twice'; there is"):
        models.encoder(CONFIG, **{name: "twice"})
