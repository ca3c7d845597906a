"""Tests for restricting adaptation to the embedding rows that a task uses.

The encoder looks words up in a table of 40 rows, of which a task uses at most 12.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import algorithms, base, heads, inner_optimizers, losses, models, testing
from metaflax.algorithms._compact_rows import why_not_compact
from metaflax.base._model import RowTable
from tests import marks
from tests.algorithms import text_free

pytestmark = pytest.mark.thorough

NUM_ROWS, LENGTH = 40, 2
TABLE = RowTable("encoder/words", lambda ids: ids, lambda ids, numbers: numbers)


def encode(params, ids, key):
    del key
    words = params["words"][ids].reshape(ids.shape[0], -1)
    return jnp.tanh(words @ params["kernel"] + params["bias"][None])


def init(key):
    words = jax.random.normal(key, (NUM_ROWS, text_free.D_IN))
    return {
        "words": words,
        "kernel": jax.random.normal(key, (LENGTH * text_free.D_IN, text_free.D)),
        "bias": jnp.zeros(text_free.D),
    }


def make(name, **changes):
    arguments = {**text_free.ROWS[name], **changes}
    factory = getattr(algorithms, name)
    return factory(encode, losses.softmax_cross_entropy, init, **arguments)


def batch(rng, vocabulary):
    targets = jnp.arange(4) % 2
    ids = rng.choice(vocabulary, (4, LENGTH)).astype(np.int32)
    return base.Batch(jnp.asarray(ids), targets, jnp.ones(4))


def task(seed):
    """A task whose support and query share some of their words."""
    rng = np.random.default_rng(seed)
    words = rng.permutation(NUM_ROWS)[:10]
    return base.Task(batch(rng, words[:7]), batch(rng, words[3:]))


def tasks(num):
    return jax.tree.map(lambda *xs: jnp.stack(xs), *map(task, range(num)))


# These learn a number for each parameter or row, which compact rows do not have.
BY_ROW = ("meta_curvature", "meta_sgd")
SERVED = sorted(set(text_free.ROWS) - set(BY_ROW))
QUICK = ("anil", "cavia", "fomaml", "maml", "protonet", "reptile", "warpgrad")


@pytest.mark.parametrize("name", marks.quick(SERVED, QUICK))
def test_loss_and_gradient_are_those_of_the_whole_table(name):
    whole = make(name)
    few = metaflax.compact_rows(whole, TABLE)
    params = whole.init(jax.random.key(0))
    gradient = [
        jax.jit(jax.value_and_grad(a.loss, has_aux=True))(params, task(0))
        for a in (whole, few)
    ]
    chex.assert_trees_all_close(*gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task_loop", marks.quick(["scan", "vmap", 2], ["scan", 2]))
@pytest.mark.parametrize("trains", marks.quick(["*", ["*", "!encoder/words"]], ["*"]))
def test_a_batch_adds_up_the_rows_of_its_tasks(task_loop, trains):
    whole = make("maml")
    few = metaflax.compact_rows(whole, TABLE)
    params = whole.init(jax.random.key(0))
    found = [
        jax.jit(metaflax.value_and_grad(a, task_loop=task_loop, trains=trains))(
            params, tasks(4), None
        )
        for a in (whole, few)
    ]
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["fomaml", "anil", "protonet", "fine_tuning"])
def test_answers_are_those_of_the_whole_table(name):
    whole = make(name)
    few = metaflax.compact_rows(whole, TABLE)
    params = whole.init(jax.random.key(0))
    support, query = task(0)
    assert set(query.inputs.ravel().tolist()) - set(support.inputs.ravel().tolist())

    def answers(algorithm):
        adapted, info = algorithm.adapt(params, support)
        return algorithm.predict(params, adapted, query.inputs), info

    chex.assert_trees_all_close(answers(whole), answers(few), rtol=1e-5, atol=1e-6)


def test_a_model_without_a_head_has_its_table_adapted_too():
    whole = metaflax.maml(
        lambda words, ids, key: words[ids],
        lambda outputs, targets, weights: jnp.mean((outputs - 1.0) ** 2),
        lambda key: jax.random.normal(key, (NUM_ROWS,)),
        optax.sgd(0.1),
        adapts=lambda path: True,
    )
    few = metaflax.compact_rows(whole, TABLE._replace(path=""))
    params = whole.init(jax.random.key(0))
    support, query = task(1)
    outputs = [
        a.predict(params, a.adapt(params, support)[0], query.inputs)
        for a in (whole, few)
    ]
    chex.assert_trees_all_close(*outputs, rtol=1e-6)


def test_the_meta_gradient_agrees_with_float64_differences():
    testing.check_meta_gradient(metaflax.compact_rows(make("maml"), TABLE), task(0))


def test_inner_steps_never_touch_the_whole_table():
    few = metaflax.compact_rows(make("maml"), TABLE)
    params = few.init(jax.random.key(0))
    fn = metaflax.value_and_grad(few, task_loop="scan")
    made = [
        equation.primitive.name
        for equation in equations(jax.make_jaxpr(fn)(params, tasks(3), None).jaxpr)
        for out in equation.outvars
        if getattr(out.aval, "shape", ()) == (NUM_ROWS, text_free.D_IN)
    ]
    # The sum over tasks starts at zero, and adds the rows of each task.
    assert sorted(set(made)) == ["broadcast_in_dim", "scan", "scatter-add"]


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.adam(0.1, eps_root=1e-8),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
        optax.adagrad(0.1),
        inner_optimizers.learned_rates(0.1, per="tensor"),
    ],
)
def test_what_treats_rows_alike_is_served(optimizer):
    algorithm = make("maml", inner_optimizer=optimizer, head=heads.linear(4, 5))
    assert why_not_compact(algorithm, TABLE) is None


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (optax.adamw(0.1), "moves rows that have no gradient"),
        (optax.noisy_sgd(0.1, key=0), "moves rows that have no gradient"),
        (optax.lars(0.1), "looks at the whole table"),
        (optax.adafactor(0.1, min_dim_size_to_factor=2), "looks at the whole table"),
        (
            inner_optimizers.learned_rates(0.1, per="parameter"),
            "learns numbers for each row",
        ),
    ],
)
def test_what_does_not_is_refused_with_the_reason(optimizer, reason):
    algorithm = make("fomaml", inner_optimizer=optimizer)
    with pytest.raises(ValueError, match=f"encoder/words.*{reason}.*leave it out"):
        metaflax.compact_rows(algorithm, TABLE)


def test_a_table_that_does_not_adapt_may_have_any_inner_optimizer():
    algorithm = make(
        "fomaml", inner_optimizer=optax.adamw(0.1), adapts=["*", "!encoder/words"]
    )
    metaflax.compact_rows(algorithm, TABLE)


@pytest.mark.parametrize("name", BY_ROW)
def test_algorithms_with_a_number_for_each_row_are_refused(name):
    with pytest.raises(ValueError, match="learns numbers for each row"):
        metaflax.compact_rows(make(name), TABLE)


def test_a_table_that_is_not_there_is_named():
    few = metaflax.compact_rows(make("maml"), TABLE._replace(path="encoder/word"))
    with pytest.raises(ValueError, match="no leaf 'encoder/word'.*encoder/bias"):
        few.adapt(few.init(jax.random.key(0)), task(0).support)


@pytest.mark.slow
def test_the_words_of_a_bert_are_such_a_table():
    config = models.BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    encoder = models.encoder(config)
    whole = algorithms.fomaml(
        encoder.apply,
        losses.softmax_cross_entropy,
        encoder.init,
        optax.sgd(0.1),
        head=heads.linear(8, 2),
        num_steps=2,
    )
    few = metaflax.compact_rows(whole, models.word_table())
    mask = jnp.asarray([[1, 1, 1], [1, 1, 0]])
    ids = jnp.asarray([[1, 5, 2], [1, 2, 0]]) + 40
    tokens = models.Tokens(ids, None, mask, jnp.asarray([0, 1, 2, 3, 4, 6]))
    part = base.Batch(tokens, jnp.arange(2), jnp.ones(2))
    params = whole.init(jax.random.key(0))
    found = [
        jax.jit(jax.value_and_grad(a.loss, has_aux=True))(params, base.Task(part, part))
        for a in (whole, few)
    ]
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-6)
