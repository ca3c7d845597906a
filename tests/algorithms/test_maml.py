"""Tests for maml, fomaml and reptile on a task solvable by hand.

On L(w) = (w - c)^2 / 2 every inner step shrinks the distance to c by (1 - lr), so
after K steps w_K = s + (1 - lr)^K (w - s), and each meta-gradient has a closed form.
"""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import metaflax
from metaflax import algorithms, base
from tests.algorithms import text_free

LR, NUM_STEPS = 0.1, 4
SHRINK = (1 - LR) ** NUM_STEPS
W, S, Q = 2.0, -1.0, 0.5
W_K = S + SHRINK * (W - S)


def make(factory, **kwargs):
    return factory(
        apply_fn=lambda w, inputs, key: w * inputs,
        loss_fn=lambda out, y, weights: 0.5 * jnp.mean(weights * (out - y) ** 2),
        init_fn=lambda key: jnp.asarray(W),
        inner_optimizer=optax.sgd(LR),
        **{"num_steps": NUM_STEPS, **kwargs},
    )


def bowl(target, size):
    return base.Batch(jnp.ones(size), jnp.full(size, target), jnp.ones(size))


def bowl_task(scale=1.0):
    return base.Task(support=bowl(scale * S, 4), query=bowl(scale * Q, 6))


def stack(tasks):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (algorithms.maml, SHRINK * (W_K - Q)),  # Through the inner steps.
        (algorithms.fomaml, W_K - Q),  # As if the steps did not depend on theta.
        (algorithms.reptile, W - W_K),  # Towards the adapted point.
    ],
)
def test_meta_gradient_has_its_closed_form(factory, expected):
    grad = jax.jit(jax.grad(make(factory).loss, has_aux=True))
    meta_gradient, _ = grad(jnp.asarray(W), bowl_task(), jax.random.key(0))
    chex.assert_trees_all_close(meta_gradient, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "factory", [algorithms.maml, algorithms.fomaml, algorithms.reptile]
)
def test_loss_is_the_query_loss_of_where_adaptation_arrives(factory):
    value, info = make(factory).loss(jnp.asarray(W), bowl_task())
    chex.assert_trees_all_close(value, 0.5 * (W_K - Q) ** 2, rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, value)
    distances = (1 - LR) ** jnp.arange(NUM_STEPS, dtype=float) * (W - S)
    chex.assert_trees_all_close(info.losses, 0.5 * distances**2, rtol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 3, 4])
def test_unrolled_and_scanned_inner_loops_agree_with_the_closed_form(num_steps):
    adapted, _ = make(algorithms.maml, num_steps=num_steps).adapt(
        jnp.asarray(W), bowl(S, 4)
    )
    expected = S + (1 - LR) ** num_steps * (W - S)
    chex.assert_trees_all_close(adapted, expected, rtol=1e-6)


@pytest.mark.parametrize("task_loop", ["auto", "scan", "vmap", 2])
def test_a_batch_of_tasks_is_the_mean_over_a_loop_traced_once(task_loop):
    algorithm, params = make(algorithms.maml), jnp.asarray(W)
    tasks = [bowl_task(scale) for scale in (1.0, 2.0, -1.0, 3.0)]
    keys = jax.random.split(jax.random.key(0), 4)

    batched = metaflax.value_and_grad(algorithm, task_loop=task_loop)
    batched = jax.jit(chex.assert_max_traces(batched, n=1))
    (loss, info), grads = batched(params, stack(tasks), keys)
    batched(params, jax.tree.map(jnp.negative, stack(tasks)), keys)

    one = jax.value_and_grad(algorithm.loss, has_aux=True)
    values, each = zip(
        *[one(params, t, k) for t, k in zip(tasks, keys, strict=True)], strict=True
    )
    losses = jnp.stack([value for value, _ in values])
    chex.assert_trees_all_close(loss, jnp.mean(losses), rtol=1e-6)
    chex.assert_trees_all_close(info.query_loss, losses, rtol=1e-6)
    chex.assert_trees_all_close(grads, jnp.mean(jnp.stack(each)), rtol=1e-6)
    chex.assert_shape(info.losses, (4, NUM_STEPS))


def test_a_chunk_that_does_not_divide_the_batch_is_refused():
    batched = metaflax.value_and_grad(make(algorithms.maml), task_loop=2)
    with pytest.raises(ValueError, match="task_loop=2 does not divide.*3 tasks"):
        batched(jnp.asarray(W), stack([bowl_task()] * 3), None)


@pytest.mark.parametrize("task_loop", ["loop", 0])
def test_an_unknown_way_to_batch_is_refused(task_loop):
    with pytest.raises(ValueError, match="'scan', 'vmap' or a chunk size"):
        metaflax.value_and_grad(make(algorithms.maml), task_loop=task_loop)


@pytest.mark.parametrize(
    "name", [name for name, row in text_free.ROWS.items() if "num_steps" in row]
)
def test_no_inner_steps_is_refused_by_name_and_with_advice(name):
    message = rf"^{name} takes at least one inner step, got num_steps=0.*use protonet"
    with pytest.raises(ValueError, match=message):
        text_free.make(name, num_steps=0)


def test_a_ragged_support_set_is_named_in_the_error():
    ragged = base.Batch(jnp.zeros(4), jnp.zeros(3), jnp.ones(4))
    with pytest.raises(AssertionError, match="number of examples S"):
        make(algorithms.maml).adapt(jnp.asarray(W), ragged, jax.random.key(0))


def test_only_what_adapts_changes_and_is_returned():
    algorithm = algorithms.maml(
        apply_fn=lambda p, x, key: p["slope"] * x + p["shift"],
        loss_fn=lambda out, y, weights: 0.5 * jnp.mean(weights * (out - y) ** 2),
        init_fn=lambda key: {"slope": jnp.asarray(W), "shift": jnp.asarray(0.0)},
        inner_optimizer=optax.sgd(LR),
        adapts="slope",
        num_steps=NUM_STEPS,
    )
    params = algorithm.init(jax.random.key(0))
    adapted, _ = algorithm.adapt(params, bowl(S, 4))
    assert adapted["shift"] is None
    chex.assert_trees_all_close(adapted["slope"], W_K, rtol=1e-6)
    shifted = {**params, "shift": jnp.asarray(1.0)}
    outputs = algorithm.predict(shifted, adapted, jnp.ones(1))
    chex.assert_trees_all_close(outputs, jnp.asarray([W_K + 1.0]), rtol=1e-6)
