"""Tests for arguments of `compose`: losses, minibatches, resuming, patterns."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

import metaflax
from metaflax import algorithms, base, estimators, heads, losses, tree
from tests import marks
from tests.algorithms import text_free

TASK = text_free.task()
# Algorithms with inner steps, which can be resumed.
STEPPING = sorted(n for n, row in text_free.ROWS.items() if "num_steps" in row)


def params_of(algorithm):
    return algorithm.init(jax.random.key(1))


def line(*, inner_optimizer=None, num_steps=2, **options):
    """MAML on `w * x`, whose values are computed by hand."""
    options = {"estimator": estimators.reverse, "adapts": "*", **options}
    return algorithms.compose(
        lambda params, x, key: params["w"] * x,
        options.pop("loss_fn", losses.squared_error),
        lambda key: {"w": jnp.zeros(())},
        head=None,
        inner_optimizer=inner_optimizer or optax.sgd(0.25),
        num_steps=num_steps,
        **options,
    )


def batch(*targets):
    targets = jnp.array(targets, float)
    return base.Batch(jnp.ones_like(targets), targets, jnp.ones_like(targets))


def with_accuracy(outputs, targets, weights):
    value = losses.softmax_cross_entropy(outputs, targets, weights)
    hits = jnp.argmax(outputs.logits, -1) == targets
    return value, {"hits": hits, "mean": jnp.mean(outputs.logits)}


@pytest.mark.parametrize("name", marks.quick(sorted(text_free.ROWS), text_free.CORE))
def test_what_a_loss_returns_beside_its_value_comes_back(name):
    def make(loss_fn):
        factory = getattr(algorithms, name)
        return factory(
            text_free.encode, loss_fn, text_free.init, **text_free.ROWS[name]
        )

    plain, both = make(losses.softmax_cross_entropy), make(with_accuracy)
    params = params_of(plain)
    of = jax.value_and_grad(both.loss, has_aux=True)
    (_, info), grads = jax.eval_shape(of, params, TASK)
    (_, expected), plain_grads = jax.eval_shape(
        jax.value_and_grad(plain.loss, has_aux=True), params, TASK
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, plain_grads)
    num_judged = len(TASK.query.targets)
    if name in ("joint", "multi_task"):
        num_judged += len(TASK.support.targets)
    assert info.aux["hits"].shape == (num_judged,)
    assert info.aux["mean"].shape == ()
    assert expected.aux == ()
    chex.assert_trees_all_equal_shapes(info._replace(aux=()), expected)


@pytest.mark.parametrize("task_loop", ["scan", "vmap", 2])
def test_the_gradient_is_the_same_and_aux_has_an_axis_of_tasks(task_loop):
    tasks = jax.tree.map(lambda *xs: jnp.stack(xs), *map(text_free.task, range(4)))
    plain = text_free.make("protonet")
    both = algorithms.protonet(
        text_free.encode, with_accuracy, text_free.init, head=text_free.PROTOTYPES
    )
    params = params_of(plain)
    (_, info), grads = jax.jit(metaflax.value_and_grad(both, task_loop=task_loop))(
        params, tasks
    )
    _, expected = jax.jit(metaflax.value_and_grad(plain, task_loop=task_loop))(
        params, tasks
    )
    chex.assert_trees_all_close(grads, expected, rtol=1e-6)
    assert info.aux["hits"].shape == tasks.query.targets.shape


def test_a_loss_of_three_is_refused():
    algorithm = line(loss_fn=lambda out, y, w: (jnp.sum(out), 1, 2))
    with pytest.raises(ValueError, match="returned a tuple of 3; return a scalar"):
        algorithm.loss(params_of(algorithm), base.Task(batch(1.0), batch(1.0)))


def test_support_and_query_may_have_different_losses():
    """Two steps on (w - 2)^2 from 0 give 1.5; the query loss is |w - 5|."""
    algorithm = line(
        query_loss_fn=lambda out, y, w: losses.weighted_mean(jnp.abs(out - y), w)
    )
    value, info = algorithm.loss(
        params_of(algorithm), base.Task(batch(2.0), batch(5.0))
    )
    np.testing.assert_allclose(info.losses, [4.0, 1.0])
    np.testing.assert_allclose(value, 3.5)


@pytest.mark.parametrize("num_steps", [3, 7])
def test_minibatches_take_the_next_examples_in_turn(num_steps):
    """A step of rate one half goes to the mean of its targets."""
    algorithm = line(
        inner_optimizer=optax.sgd(0.5),
        num_steps=num_steps,
        batch_of_step=algorithms.minibatches(2),
    )
    support = batch(1.0, 3.0, 10.0)
    adapted, info = algorithm.adapt(params_of(algorithm), support)
    means = [2.0, 5.5, 6.5]
    np.testing.assert_allclose(adapted["w"], means[(num_steps - 1) % 3], rtol=1e-6)
    np.testing.assert_allclose(info.losses[0], 5.0)
    np.testing.assert_allclose(info.losses[1], np.mean([(2 - 10) ** 2, (2 - 1) ** 2]))


@pytest.mark.parametrize(
    "name", marks.quick(["reverse", "mixed_mode", "first_order"], ["reverse"])
)
def test_minibatches_of_features_that_were_encoded_once(name):
    common = {
        "head": text_free.LINEAR,
        "inner_optimizer": text_free.SGD,
        "num_steps": 2,
        "estimator": getattr(estimators, name),
        "batch_of_step": algorithms.minibatches(6),
    }
    of_all, by_six = (
        algorithms.compose(
            text_free.encode,
            losses.softmax_cross_entropy,
            text_free.init,
            adapts="head",
            **common | change,
        )
        for change in ({"batch_of_step": None}, {})
    )
    assert len(TASK.support.weights) == 6
    params = params_of(of_all)
    found, expected = (
        jax.jit(jax.value_and_grad(a.loss, has_aux=True))(params, TASK)
        for a in (by_six, of_all)
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


def test_implicit_refuses_an_objective_that_changes():
    with pytest.raises(ValueError, match="batch_of_step makes another of each step"):
        line(
            estimator=estimators.implicit(),
            proximal=1.0,
            num_steps=20,
            batch_of_step=algorithms.minibatches(1),
        )


def test_a_minibatch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="got size=0"):
        algorithms.minibatches(0)


def test_going_on_takes_the_steps_that_follow():
    two, four = line(num_steps=2), line(num_steps=4)
    params = params_of(two)
    half, first = two.adapt(params, batch(2.0))
    whole, second = two.resume(params, half, batch(2.0))
    expected, info = four.adapt(params, batch(2.0))
    np.testing.assert_allclose(whole["w"], expected["w"])
    np.testing.assert_allclose(
        np.concatenate([first.losses, second.losses]), info.losses
    )


@pytest.mark.parametrize("name", marks.quick(STEPPING, text_free.CORE))
def test_every_algorithm_with_inner_steps_goes_on_from_an_adapted_state(name):
    algorithm = text_free.make(name)
    params = params_of(algorithm)
    adapted, first = jax.jit(algorithm.adapt)(params, TASK.support)
    again, second = jax.jit(algorithm.resume)(params, adapted, TASK.support)
    chex.assert_trees_all_equal_shapes_and_dtypes(again, adapted)
    assert second.losses[0] < first.losses[0]


@pytest.mark.parametrize("name", ["protonet", "ridge", "matching", "frozen"])
def test_without_inner_steps_there_is_nothing_to_go_on_with(name):
    assert text_free.make(name).resume is None


MISSING = pytest.mark.parametrize(
    "pattern", ["encoder/typo", ["*", "!encoder/typo"], ["head", "typo/*"]]
)


@MISSING
@pytest.mark.parametrize("name", ["maml", "boil", "fine_tuning", "warpgrad", "imaml"])
def test_a_pattern_of_what_adapts_that_matches_nothing_is_refused(name, pattern):
    algorithm = text_free.make(name, adapts=pattern)
    with pytest.raises(ValueError, match=r"'!?\S*typo\S*' of adapts matches no"):
        jax.eval_shape(algorithm.adapt, params_of(algorithm), TASK.support)


@MISSING
def test_a_pattern_of_what_is_trained_that_matches_nothing_is_refused(pattern):
    algorithm = text_free.make("maml")
    fn = metaflax.value_and_grad(algorithm, trains=pattern)
    tasks = jax.tree.map(lambda x: x[None], TASK)
    with pytest.raises(ValueError, match=r"typo\S*' of trains matches no parameter"):
        jax.eval_shape(fn, params_of(algorithm), tasks)


@MISSING
def test_a_pattern_of_what_is_perturbed_that_matches_nothing_is_refused(pattern):
    estimator = estimators.evolution(perturbs=pattern)
    algorithm = text_free.make("maml", estimator=estimator)
    with pytest.raises(ValueError, match=r"typo\S*' of perturbs matches no"):
        jax.eval_shape(algorithm.loss, params_of(algorithm), TASK, jax.random.key(0))


@pytest.mark.parametrize("name", ["imaml", "maml", "warpgrad", "boil"])
def test_an_encoder_that_stays_is_run_ahead_within_jit(name):
    algorithm = text_free.make(name, adapts="head" if name != "boil" else "encoder")
    jax.eval_shape(algorithm.loss, params_of(algorithm), TASK)


def test_patterns_of_stages_that_ran_ahead_are_known():
    algorithm = text_free.make("maml", adapts=["head", "!encoder/bias"])
    jax.eval_shape(algorithm.adapt, params_of(algorithm), TASK.support)


def optimized(optimizer, algorithm, params, trains):
    @jax.jit
    def moved(params):
        trained, rest = tree.partition(params, trains)
        fn = metaflax.value_and_grad(algorithm, trains=trains)
        _, grads = fn(params, jax.tree.map(lambda x: x[None], TASK))
        updates, _ = optimizer.update(grads, optimizer.init(trained), trained)
        return tree.merge(optax.apply_updates(trained, updates), rest)

    return moved(params)


@pytest.mark.parametrize("trains", ["*", ["encoder/kernel"], ["*", "!head"]])
@pytest.mark.parametrize(
    "optimizer", [optax.adamw(0.1), optax.chain(optax.clip(0.1), optax.lion(0.1))]
)
def test_gradients_beside_integers_and_fixed_parameters_serve_optax(optimizer, trains):
    def encode(params, inputs, key):
        return text_free.encode(params, inputs, key) * params["num"]

    algorithm = algorithms.fomaml(
        encode,
        losses.softmax_cross_entropy,
        lambda key: {**text_free.init(key), "num": jnp.array(2)},
        text_free.SGD,
        head=text_free.LINEAR,
    )
    params = params_of(algorithm)
    moved = optimized(optimizer, algorithm, params, trains)
    chosen = set(tree.paths(tree.select(params, trains)))
    chex.assert_trees_all_equal_shapes_and_dtypes(moved, params)
    for path in tree.paths(params):
        same = np.array_equal(tree.leaf(moved, path), tree.leaf(params, path))
        assert same == (path not in chosen)


@pytest.mark.parametrize("complex_part", ["adapts", "trains"])
def test_complex_parameters_are_refused_by_path(complex_part):
    algorithm = algorithms.maml(
        lambda p, x, key: jnp.real(p["w"] * x) + p["b"],
        losses.squared_error,
        lambda key: {"w": jnp.array(1 + 1j), "b": jnp.zeros(())},
        optax.sgd(0.1),
        adapts="w" if complex_part == "adapts" else "b",
    )
    task = base.Task(batch(2.0), batch(2.0))
    if complex_part == "adapts":
        with pytest.raises(ValueError, match="parameter w adapts and is complex64"):
            algorithm.adapt(params_of(algorithm), task.support)
        return
    fn = metaflax.value_and_grad(algorithm)
    with pytest.raises(ValueError, match="parameter w is trained and is complex64"):
        fn(params_of(algorithm), jax.tree.map(lambda x: x[None], task))


SECOND = {
    "hessian": lambda f: jax.hessian(f),
    "gradient of a gradient": lambda f: jax.grad(lambda w: jax.grad(f)(w) ** 2),
    "derivative of a gradient": lambda f: lambda w: jax.jvp(jax.grad(f), (w,), (w,)),
}


@pytest.mark.parametrize("num_steps", marks.quick([1, 5], [5]))
@pytest.mark.parametrize("remat_every", marks.quick([None, 1], [1]))
@pytest.mark.parametrize("derivative", SECOND.values(), ids=SECOND)
def test_mixed_mode_refuses_a_second_derivative_by_name(
    derivative, remat_every, num_steps
):
    def value(estimator):
        algorithm = line(estimator=estimator, num_steps=num_steps)
        task = base.Task(batch(2.0), batch(3.0))
        return lambda w: algorithm.loss({"w": jnp.sin(w)}, task)[0]

    mixed = functools.partial(estimators.mixed_mode, remat_every=remat_every)
    w = jnp.array(0.3)
    found, expected = (
        jax.jit(jax.grad(value(estimator)))(w)
        for estimator in (mixed, estimators.reverse)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="take the estimator reverse"):
        derivative(value(mixed))(w)
    assert np.all(np.isfinite(jax.jit(derivative(value(estimators.reverse)))(w)))


def test_forward_mode_through_mixed_mode_is_an_error():
    algorithm = line(estimator=estimators.mixed_mode)
    task = base.Task(batch(2.0), batch(3.0))
    with pytest.raises(TypeError, match="jvp"):
        jax.jvp(
            lambda w: algorithm.loss({"w": w}, task)[0],
            (jnp.ones(()),),
            (jnp.ones(()),),
        )


@pytest.mark.parametrize("name", ["maml", "anil", "proto_maml", "protonet", "reptile"])
def test_tasks_on_several_devices_are_adapted_to_by_themselves(name):
    """Parameters are replicated: their inner gradients must not be summed."""
    algorithm = text_free.make(name, **({} if name != "maml" else {"num_steps": 4}))
    params = params_of(algorithm)
    tasks = jax.tree.map(lambda *xs: jnp.stack(xs), *map(text_free.task, range(2)))

    def query_logits(params, tasks):
        [task] = [jax.tree.map(lambda x: x[0], tasks)]
        adapted, _ = algorithm.adapt(params, task.support)
        return algorithm.predict(params, adapted, task.query.inputs).logits[None]

    mesh = Mesh(np.array(jax.devices()[:2]), ("task",))
    one_each = PartitionSpec("task")
    sharded = jax.shard_map(
        query_logits,
        mesh=mesh,
        in_specs=(PartitionSpec(), one_each),
        out_specs=one_each,
    )
    alone = jax.jit(query_logits)
    one_by_one = [
        alone(params, jax.tree.map(lambda x, i=i: x[i : i + 1], tasks))
        for i in range(2)
    ]
    np.testing.assert_allclose(
        jax.jit(sharded)(params, tasks), jnp.concatenate(one_by_one), rtol=1e-4
    )


def test_a_head_that_is_not_one_is_named():
    with pytest.raises(ValueError, match="give a base.Head, such as"):
        text_free.make("maml", head=heads.linear)
