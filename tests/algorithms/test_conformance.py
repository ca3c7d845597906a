"""One suite over every algorithm that `metaflax.algorithms` exports.

Compilation takes nearly all of its time, so that tests share compiled functions, on
episodes of one shape.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import algorithms, base, estimators, heads, testing
from metaflax.algorithms._table import ALGORITHMS
from metaflax.tree._paths import is_empty
from tests import marks
from tests.algorithms import text_free

TOOLS = {
    "ALGORITHMS",
    "AlgorithmParts",
    "AlgorithmSpec",
    "FewRowsAdapted",
    "compact_rows",
    "compose",
    "micro_batched",
    "minibatches",
    "why_not_compact",
}
NAMES = sorted(set(algorithms.__all__) - TOOLS)
BASELINES = ("contrastive_fine_tuning", "fine_tuning", "frozen", "in_context")
TRAINED = sorted(set(NAMES) - set(BASELINES))
# Algorithms whose estimator is exact by default, or after replacing it by `reverse`.
EXACT = sorted(set(TRAINED) - {"fomaml", "imaml", "reptile", "warpgrad"})
FIRST_ORDER = ("leopard", "proto_maml")
SUPPORT, QUERY = 7, 9
every = pytest.mark.parametrize("name", NAMES)
core = pytest.mark.parametrize("name", marks.quick(NAMES, text_free.CORE))


def test_the_suite_makes_every_exported_algorithm():
    assert set(NAMES) == set(text_free.ROWS)


def test_every_algorithm_but_multi_task_has_a_name_and_says_if_it_is_a_baseline():
    # The settings of `multi_task` depend on the training classes.
    assert set(ALGORITHMS) == set(NAMES) - {"multi_task"}
    specs = ALGORITHMS.items()
    assert {name for name, spec in specs if spec.is_baseline} == set(BASELINES)


def params_of(algorithm):
    return algorithm.init(jax.random.key(1))


@functools.cache
def gradient_of(name):
    """`(loss, info), grads = fn(params, task, key)`, compiled once per shape."""
    return jax.jit(jax.value_and_grad(text_free.make(name).loss, has_aux=True))


@functools.cache
def batched(name, task_loop):
    """The same over a batch of tasks; a second trace would fail."""
    fn = metaflax.value_and_grad(text_free.make(name), task_loop=task_loop)
    return jax.jit(chex.assert_max_traces(fn, n=1))


@functools.cache
def answers_of(name):
    """`outputs = fn(params, support, inputs)`, after adaptation."""
    algorithm = text_free.make(name)

    def answers(params, support, inputs):
        adapted, _ = algorithm.adapt(params, support)
        return algorithm.predict(params, adapted, inputs)

    return jax.jit(answers)


def pad(task, support=SUPPORT, query=QUERY):
    """Pads both parts to common sizes with zeros, weights included."""

    def grow(batch, size):
        return jax.tree.map(
            lambda x: jnp.asarray(
                np.pad(x, [(0, size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
            ),
            batch,
        )

    return base.Task(grow(task.support, support), grow(task.query, query))


def stack(tasks):
    return jax.tree.map(lambda *xs: jnp.asarray(np.stack(xs)), *tasks)


def cast(tree, dtype):
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        tree,
    )


# Operations one by one take a second and more for each algorithm.
@pytest.mark.parametrize(
    "name",
    marks.quick(NAMES, ["maml", "protonet", "reptile"]),
)
def test_jit_equals_eager(name):
    algorithm = text_free.make(name)
    params, task, key = params_of(algorithm), pad(text_free.task()), jax.random.key(3)
    eager = jax.value_and_grad(algorithm.loss, has_aux=True)(params, task, key)
    chex.assert_trees_all_close(
        gradient_of(name)(params, task, key), eager, rtol=1e-5, atol=1e-6
    )


# The loop over tasks is the same for all algorithms.
IN_BOTH_LOOPS = ("fomaml", "maml", "protonet", "reptile")


@pytest.mark.parametrize(
    ("name", "task_loop"),
    [
        *((name, "scan") for name in NAMES),
        *((name, "vmap") for name in IN_BOTH_LOOPS),
        *(
            pytest.param(name, "vmap", marks=pytest.mark.slow)
            for name in NAMES
            if name not in IN_BOTH_LOOPS
        ),
    ],
)
def test_a_batch_equals_a_loop_and_is_traced_once_for_any_way_and_shot(name, task_loop):
    params = params_of(text_free.make(name))
    sizes = [(2, 2), (3, 2), (4, 1), (2, 3)]
    tasks = [
        pad(text_free.task(seed, way, shot, 2))
        for seed, (way, shot) in enumerate(sizes)
    ]
    fn = batched(name, task_loop)
    (loss, info), grads = fn(params, stack(tasks), None)
    fn(params, stack(tasks[::-1]), None)
    each = [gradient_of(name)(params, t, None) for t in tasks]
    mean = jax.tree.map(lambda *xs: np.mean(np.stack(xs), 0), *[g for _, g in each])
    chex.assert_trees_all_close(grads, mean, rtol=1e-4, atol=1e-6)
    losses = np.stack([value for (value, _), _ in each])
    queries = np.stack([alone.query_loss for (_, alone), _ in each])
    chex.assert_trees_all_close(info.query_loss, queries, rtol=1e-5)
    chex.assert_trees_all_close(loss, np.mean(losses), rtol=1e-5)


@every
def test_padding_changes_nothing(name):
    params, task = params_of(text_free.make(name)), text_free.task()
    chex.assert_trees_all_close(
        gradient_of(name)(params, pad(task), None),
        gradient_of(name)(params, task, None),
        rtol=1e-5,
        atol=1e-6,
    )


@every
@pytest.mark.parametrize("filler", [7.0, np.nan, np.inf])
def test_what_padding_holds_changes_nothing(name, filler):
    params, task = params_of(text_free.make(name)), pad(text_free.task())

    def fill(batch):
        return batch._replace(
            inputs=jnp.where(batch.weights[:, None] > 0, batch.inputs, filler),
            targets=jnp.where(batch.weights > 0, batch.targets, 4),
        )

    chex.assert_trees_all_close(
        gradient_of(name)(params, base.Task(*map(fill, task)), None),
        gradient_of(name)(params, task, None),
        rtol=1e-5,
        atol=1e-6,
    )


@every
def test_the_order_of_examples_changes_nothing(name):
    params, task = params_of(text_free.make(name)), pad(text_free.task())
    shuffled = base.Task(*(jax.tree.map(lambda x: x[::-1], batch) for batch in task))
    chex.assert_trees_all_close(
        gradient_of(name)(params, shuffled, None),
        gradient_of(name)(params, task, None),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "name",
    [
        "contrastive_fine_tuning",
        "frozen",
        "in_context",
        "leopard",
        "matching",
        "metaicl",
        "proto_maml",
        "protonet",
        "relation",
        "ridge",
    ],
)
def test_renaming_classes_permutes_the_answers_where_no_class_has_a_start(name):
    params, task = params_of(text_free.make(name)), pad(text_free.task(way=3))
    rename = jnp.array([2, 0, 1])
    renamed = task.support._replace(targets=rename[task.support.targets])

    def logits(support):
        return np.asarray(answers_of(name)(params, support, task.query.inputs).logits)

    chex.assert_trees_all_close(
        logits(renamed)[:, rename], logits(task.support)[:, :3], rtol=1e-4, atol=1e-5
    )


@every
def test_absent_classes_never_win(name):
    params, task = params_of(text_free.make(name)), pad(text_free.task(way=2))
    outputs = answers_of(name)(params, task.support, task.query.inputs)
    assert outputs.mask.tolist() == [True, True, False, False, False]
    probabilities = np.asarray(jax.nn.softmax(outputs.logits))
    assert np.all(probabilities[:, 2:] == 0)


@core
def test_the_same_key_gives_the_same_result_and_another_key_another(name):
    params, task = params_of(text_free.make(name)), pad(text_free.task())
    first, again, other = (
        gradient_of(name)(params, task, jax.random.key(seed))[0][0]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@core
def test_types_are_kept_in_half_precision(name):
    params = cast(params_of(text_free.make(name)), jnp.bfloat16)
    task = cast(pad(text_free.task()), jnp.bfloat16)
    (loss, _), grads = gradient_of(name)(params, task, None)
    assert loss.dtype == jnp.bfloat16
    chex.assert_trees_all_equal_dtypes(grads, params)
    chex.assert_tree_all_finite(grads)


@core
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_x64_keeps_one_type(name, dtype):
    with jax.enable_x64(True):
        algorithm = text_free.make(name)
        params = params_of(algorithm)
        assert {str(x.dtype) for x in jax.tree.leaves(params)} == {"float64"}
        params, task = cast(params, dtype), cast(text_free.task(), dtype)
        (loss, info), grads = jax.eval_shape(
            jax.value_and_grad(algorithm.loss, has_aux=True), params, task
        )
        adapted, _ = jax.eval_shape(algorithm.adapt, params, task.support)
        floats = metaflax.tree.select((loss, info, grads, adapted), ["*"])
        # Losses of no inner steps hold no number.
        assert {str(x.dtype) for x in jax.tree.leaves(floats) if x.size} == {dtype}


@pytest.mark.parametrize("name", marks.quick(TRAINED, text_free.CORE))
def test_gradients_are_finite_where_features_do_not_reach(name):
    """A column of zeros gives leaves with zero gradient, singular for Adam's root."""
    kwargs = {}
    # With this small step size imaml does not reach its minimum.
    if "inner_optimizer" in text_free.ROWS[name] and name != "imaml":
        kwargs["inner_optimizer"] = optax.adam(1e-2, eps_root=1e-8)
    algorithm = text_free.make(name, **kwargs)

    def blank(batch):
        return batch._replace(inputs=batch.inputs.at[:, 0].set(0.0))

    task = base.Task(*map(blank, pad(text_free.task())))
    grads, _ = jax.jit(jax.grad(algorithm.loss, has_aux=True))(
        params_of(algorithm), task
    )
    chex.assert_tree_all_finite(grads)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_a_loss_and_no_gradient(name):
    params, task = params_of(text_free.make(name)), pad(text_free.task())
    (loss, _), grads = gradient_of(name)(params, task, None)
    assert loss > 0
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", EXACT)
def test_exact_meta_gradients_equal_float64_differences(name):
    exact = {"estimator": estimators.reverse} if name in FIRST_ORDER else {}
    testing.check_meta_gradient(
        text_free.make(name, **exact), text_free.task(), params=None, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["anil", "leopard", "maml", "meta_curvature"])
def test_mixed_mode_serves_what_is_learned_besides_the_start(name):
    algorithm = text_free.make(name, estimator=estimators.mixed_mode)
    testing.check_meta_gradient(algorithm, text_free.task(), rtol=1e-6)


@pytest.mark.parametrize(("step", "is_exact"), [(0, False), (3, True), (10, True)])
def test_schedules_follow_the_outer_step(step, is_exact):
    """First order until step 3, multi-step loss until step 10."""
    algorithm = text_free.make("maml_plus_plus")
    task = text_free.task()
    if is_exact:
        testing.check_meta_gradient(algorithm, task, step=step)
    else:
        with pytest.raises(AssertionError, match="differences of the loss give"):
            testing.check_meta_gradient(algorithm, task, step=step)
    value, info = jax.jit(algorithm.loss)(params_of(algorithm), pad(task), None, step)
    assert bool(jnp.allclose(value, info.query_loss)) == (step == 10)


@pytest.mark.parametrize("name", TRAINED)
def test_meta_training_lowers_the_query_loss(name):
    """On tasks whose queries are their support set, which Reptile descends too."""
    params = params_of(text_free.make(name))
    tasks = [text_free.task(seed) for seed in range(4)]
    tasks = stack([pad(base.Task(t.support, t.support)) for t in tasks])
    fn, optimizer = batched(name, "scan"), optax.adam(0.02)
    update = jax.jit(optimizer.update)
    state = optimizer.init(params)
    (first, _), _ = fn(params, tasks, None)
    for _ in range(30):
        _, grads = fn(params, tasks, None)
        updates, state = update(grads, state)
        params = optax.apply_updates(params, updates)
    (last, _), _ = fn(params, tasks, None)
    assert last < 0.9 * first


def test_anil_encodes_the_support_set_once_and_adapts_the_head_only():
    calls = []

    def counted(params, inputs, key):
        calls.append(1)
        return text_free.encode(params, inputs, key)

    algorithm = algorithms.anil(
        counted,
        metaflax.losses.softmax_cross_entropy,
        text_free.init,
        optax.sgd(0.1),
        head=heads.linear(text_free.D, text_free.N),
        num_steps=3,
    )
    adapted, _ = jax.eval_shape(
        algorithm.adapt, params_of(algorithm), text_free.task().support
    )
    assert len(calls) == 1
    assert is_empty(adapted["encoder"])


def test_trains_leaves_the_rest_without_a_gradient():
    algorithm = text_free.make("maml")
    tasks = jax.tree.map(lambda x: x[None], text_free.task())
    fn = metaflax.value_and_grad(algorithm, trains=["encoder", "!encoder/bias"])
    _, grads = jax.eval_shape(fn, params_of(algorithm), tasks, None)
    assert metaflax.tree.paths(grads) == ["encoder/kernel"]
