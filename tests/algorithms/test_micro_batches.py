"""Tests that micro-batches give the results of whole batches, in less memory."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import algorithms, base, estimators, heads, losses, models
from tests import marks
from tests.algorithms import text_free
from tests.models import examples

pytestmark = pytest.mark.thorough

SUPPORT, QUERY = 7, 5

CASES = {
    **{
        name: ("maml", {"estimator": estimator})
        for name, estimator in {
            "reverse": estimators.reverse,
            "mixed_mode": estimators.mixed_mode,
            "first_order": estimators.first_order,
            "truncated": estimators.truncated(1),
            "annealed": estimators.annealed(3),
            "displacement": estimators.displacement,
            "trajectory": estimators.trajectory,
        }.items()
    },
    "implicit": ("imaml", {"num_steps": 8}),
    "learned rates": ("meta_sgd", {}),
    # Heads that depend on the whole support set, and losses of pairs.
    "prototypes": ("proto_maml", {"estimator": estimators.reverse}),
    "generated": ("leopard", {"estimator": estimators.mixed_mode}),
    "attention": ("matching", {}),
    "pairs": ("contrastive_fine_tuning", {"estimator": estimators.reverse}),
    "head alone": ("anil", {}),
    "all classes": ("multi_task", {}),
}


def wide(x):
    x = jnp.asarray(x)
    return x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


def batch(rng, size):
    """Examples of weights from 0 to 2, the first of each class 1."""
    given = text_free.batch(rng, np.arange(size) % 3, size)
    weights = np.where(np.arange(size) < 3, 1, rng.choice([0, 0.5, 2], size))
    return given._replace(weights=jnp.asarray(weights, jnp.float32))


def task(seed=0):
    rng = np.random.default_rng(seed)
    return base.Task(batch(rng, SUPPORT), batch(rng, QUERY))


def make(name, apply_fn, **changes):
    factory = getattr(algorithms, name)
    arguments = {**text_free.ROWS[name], **changes}
    return factory(apply_fn, losses.softmax_cross_entropy, text_free.init, **arguments)


# The other cases are covered by these.
QUICK = ("reverse", "mixed_mode", "first_order", "pairs", "prototypes")


@pytest.mark.parametrize("case", marks.quick(CASES, QUICK))
def test_the_meta_gradient_is_that_of_all_examples_at_once(case):
    name, changes = CASES[case]
    in_parts = algorithms.micro_batched(text_free.encode, 3)
    with jax.enable_x64(True):
        given = jax.tree.map(wide, task())
        found = []
        for apply_fn in (text_free.encode, in_parts):
            algorithm = make(name, apply_fn, **changes)
            params = jax.tree.map(wide, algorithm.init(jax.random.key(1)))
            fn = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
            (value, info), grads = fn(params, given)
            found.append((value, info.losses, grads))
        chex.assert_trees_all_close(*found, rtol=1e-10, atol=1e-12)
        assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(grads)) > 1e-3


def test_every_estimator_that_differentiates_is_among_these():
    others = {"constant", "evolution"}
    assert set(estimators.__all__) - others <= set(CASES)


def token_loss(apply_fn, params, tokens, weights):
    """A mean over tokens of texts of different lengths."""
    logits = apply_fn(params, tokens, None)
    targets = jnp.where(tokens.mask > 0, tokens.ids % 5, -1)
    loss = losses.per_token(losses.softmax_cross_entropy)
    outputs = base.ClassOutputs(logits[..., :5], jnp.ones(5, bool))
    return loss(outputs, targets, weights)


def balanced_loss(apply_fn, params, tokens, weights):
    """A mean over texts, in which rare classes weigh more."""
    logits = apply_fn(params, tokens, None)[:, 0, :3]
    targets = jnp.array([0, 0, 1, 0])
    by_class = losses.balanced_class_weights(targets, weights, 3)
    outputs = base.ClassOutputs(logits, jnp.ones(3, bool))
    return losses.softmax_cross_entropy(
        outputs, targets, weights, class_weights=by_class
    )


TEXTS = examples.random_tokens()
GPT = models.gpt(
    models.GPTConfig(
        vocab_size=23,
        n_positions=8,
        n_embd=6,
        n_layer=1,
        n_head=2,
        bos_token_id=None,
        eos_token_id=None,
    ),
    dtype=jnp.float64,
)


@pytest.mark.parametrize(
    ("loss", "size"), [(token_loss, 1), (token_loss, 3), (balanced_loss, 3)]
)
def test_weighted_means_over_tokens_and_texts_are_those_of_the_whole(loss, size):
    weights = jnp.array([1.0, 0.5, 0.0, 2.0])
    with jax.enable_x64(True):
        params = jax.tree.map(wide, GPT.init(jax.random.key(0)))
        found = [
            jax.jit(jax.value_and_grad(functools.partial(loss, apply_fn)))(
                params, TEXTS, weights
            )
            for apply_fn in (GPT.apply, algorithms.micro_batched(GPT.apply, size))
        ]
        chex.assert_trees_all_close(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("task_loop", ["scan", "vmap"])
def test_a_batch_of_tasks_is_the_mean_of_those_at_once(task_loop):
    tasks = jax.tree.map(lambda *xs: jnp.stack(xs), *map(task, range(3)))
    found = []
    for apply_fn in (text_free.encode, algorithms.micro_batched(text_free.encode, 2)):
        algorithm = make("maml", apply_fn)
        params = algorithm.init(jax.random.key(1))
        fn = jax.jit(metaflax.value_and_grad(algorithm, task_loop=task_loop))
        found.append(fn(params, tasks, None))
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", range(1, 9))
def test_every_size_gives_the_outputs_of_all_and_traces_no_more_than_it_says(size):
    most = []

    def apply_fn(scale, x, key):
        del key
        most.append(x.shape[0])
        return {"twice": scale * x, "rows": x[:, 0]}

    x = jnp.arange(14.0).reshape(7, 2)
    found = algorithms.micro_batched(apply_fn, size)(2.0, x)
    chex.assert_trees_all_equal(found, {"twice": 2 * x, "rows": x[:, 0]})
    # The executed batches are no larger; only shapes are computed for the whole batch.
    assert max(n for n in most if n != 7 or size >= 7) <= size


def test_what_no_example_has_to_itself_is_taken_from_all_of_them():
    def apply_fn(params, x, key):
        return base.ClassOutputs(params * x, jnp.max(x, axis=0) > 2)

    x = jnp.array([[1.0, 5.0], [4.0, 0.0], [0.0, 1.0]])
    outputs = algorithms.micro_batched(apply_fn, 2)(1.0, x)
    chex.assert_trees_all_equal(outputs, apply_fn(1.0, x, None))
    assert outputs.mask.tolist() == [True, True]


def test_packed_texts_are_read_as_they_are_without_packing():
    encoder = models.encoder(examples.CONFIG, pooling="mean")
    params = examples.random_params(examples.CONFIG, pooler=False)
    apply_fn = algorithms.micro_batched(encoder.apply, 3)
    expected = encoder.apply(params, TEXTS, None)
    for texts in (TEXTS, examples.packed(TEXTS)):
        found = apply_fn(params, texts, None)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_stages_of_a_network_go_on_in_micro_batches():
    encoder = models.encoder(examples.CONFIG)
    params = examples.random_params(examples.CONFIG, pooler=False)
    apply_fn = algorithms.micro_batched(encoder.apply, 2)
    assert apply_fn.reads == encoder.apply.reads
    num = len(apply_fn.reads)
    states = apply_fn.run(params, TEXTS, None, None, 0, 2)
    found = apply_fn.run(params, TEXTS, states, None, 2, num)
    expected = encoder.apply(params, TEXTS, None)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_pairs_of_texts_are_cut_together():
    def apply_fn(params, pair, key):
        return params * (pair.source.ids[:, 0] + pair.target.ids[:, 0])

    pair = models.Pair(examples.packed(TEXTS), TEXTS)
    found = algorithms.micro_batched(apply_fn, 3)(1, pair, None)
    chex.assert_trees_all_equal(found, 2 * TEXTS.ids[:, 0])


def test_micro_batches_drop_out_apart_and_the_same_for_the_same_key():
    apply_fn = algorithms.micro_batched(text_free.encode, 2)
    params, x = text_free.init(jax.random.key(0)), jnp.ones((4, text_free.D_IN))
    first, again, other = (
        np.asarray(apply_fn(params, x, jax.random.key(n))) for n in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[:2], first[2:])  # All examples are alike.


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(estimators.reverse, marks=pytest.mark.slow),
        pytest.param(estimators.mixed_mode, marks=pytest.mark.slow),
        estimators.first_order,
    ],
)
def test_memory_is_that_of_a_micro_batch(estimator):
    config = models.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    encoder = models.encoder(config)
    ids = np.random.default_rng(0).integers(1, 20, (24, 32), np.int32)
    texts = models.Tokens(ids, None, np.ones_like(ids))
    part = base.Batch(texts, np.arange(24) % 3, np.ones(24, np.float32))

    def compiled(size):
        algorithm = metaflax.maml(
            algorithms.micro_batched(encoder.apply, size),
            losses.softmax_cross_entropy,
            encoder.init,
            optax.sgd(0.1),
            head=heads.linear(16, 3),
            num_steps=2,
            estimator=estimator,
        )
        params = jax.eval_shape(algorithm.init, jax.random.key(0))
        fn = jax.jit(jax.grad(algorithm.loss, has_aux=True))
        # Memory is assigned before LLVM runs, so that its optimizations do not matter.
        return fn.lower(params, base.Task(part, part)).compile(
            {"xla_backend_optimization_level": 0}
        )

    whole, few = (
        compiled(size).memory_analysis().temp_size_in_bytes for size in (24, 3)
    )
    assert few < 0.2 * whole  # An eighth, and parameters.


def test_a_size_of_none_is_refused():
    with pytest.raises(ValueError, match="one example at least, got size=0"):
        algorithms.micro_batched(text_free.encode, 0)


def test_inputs_that_are_not_of_examples_are_refused():
    apply_fn = algorithms.micro_batched(lambda params, x, key: x["a"], 2)
    with pytest.raises(ValueError, match=r"got shapes \(2,\), \(3,\)"):
        apply_fn(None, {"a": jnp.ones(3), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"got shapes \(\), \(3,\)"):
        apply_fn(None, {"a": jnp.ones(3), "b": jnp.ones(())})


def test_outputs_of_another_number_of_rows_are_refused():
    apply_fn = algorithms.micro_batched(lambda params, x, key: x.ravel(), 2)
    with pytest.raises(ValueError, match=r"got \[12\] for 4 and \[6\] for 2"):
        apply_fn(None, jnp.ones((4, 3)))
