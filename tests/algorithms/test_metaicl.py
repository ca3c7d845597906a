"""Tests of in-context learning with decoders, which encode the context once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import algorithms, base, losses, models, testing
from tests.models.examples import packed
from tests.models.families.decoders import DECODERS
from tests.models.speakers import GPT, SEQ2SEQ, padded_left, random_params, texts

SIZE = 13
every = pytest.mark.parametrize("name", DECODERS)


def decoder(name, **kwargs):
    make, config = DECODERS[name]
    model = make(config, **kwargs)
    return model, random_params(model)


def batch(vocab_size, lengths, *, length=4, seed=0, weights=None):
    """Texts whose last two tokens are targets; the last one is not an input."""
    tokens = texts(vocab_size, lengths, length=length, seed=seed)
    order, sizes = np.arange(length)[None], np.array(lengths)[:, None]
    gold = np.random.default_rng(seed + 9).integers(3, vocab_size, tokens.ids.shape)
    gold = np.where(order == sizes - 2, np.roll(tokens.ids, -1, axis=1), gold)
    targets = np.where((order < sizes) & (order >= sizes - 2), gold, -1)
    weights = np.ones(len(lengths)) if weights is None else np.array(weights)
    return base.Batch(tokens, jnp.asarray(targets), jnp.asarray(weights, jnp.float32))


def task(vocab_size):
    return base.Task(
        batch(vocab_size, (3, 4, 1), seed=1), batch(vocab_size, (4, 2, 3), seed=2)
    )


def algorithm_of(model, params, size=SIZE, make=algorithms.metaicl):
    loss = losses.language_cross_entropy
    return make(model.in_context(size), loss, lambda key: params)


def outputs_of(model, params, support, inputs, size=SIZE):
    algorithm = algorithm_of(model, params, size)
    start = algorithm.init(jax.random.key(0))

    @jax.jit
    def outputs(support, inputs):
        adapted, _ = algorithm.adapt(start, support)
        return algorithm.predict(start, adapted, inputs)

    return outputs(support, inputs)


def examples_of(support):
    """The tokens of each example of positive weight, the last target included."""
    found = []
    for ids, mask, targets, weight in zip(
        support.inputs.ids,
        support.inputs.mask,
        support.targets,
        support.weights,
        strict=True,
    ):
        kept = np.asarray(ids)[np.asarray(mask) > 0].tolist()
        final = np.asarray(targets)[np.asarray(mask) > 0][-1:].tolist()
        if weight > 0:
            found.append(kept + [token for token in final if token >= 0])
    return found


def encoded_anew(model, params, examples, inputs):
    """Logits of each query in one text after all examples."""
    before = [token for example in examples for token in example]
    pairs = zip(np.asarray(inputs.ids), np.asarray(inputs.mask), strict=True)
    rows = [before + ids[mask > 0].tolist() for ids, mask in pairs]
    ids = np.zeros((len(rows), 20), np.int32)
    for whole, row in zip(ids, rows, strict=True):
        whole[: len(row)] = row
    lengths = np.array([len(row) for row in rows])
    tokens = models.Tokens(ids, None, np.arange(20) < lengths[:, None])
    logits = np.asarray(jax.jit(model.apply)(params, tokens, None))
    return [x[len(before) : n] for x, n in zip(logits, lengths, strict=True)]


def assert_as_anew(found, inputs, expected):
    for logits, mask, rows in zip(found, inputs.mask, expected, strict=True):
        np.testing.assert_allclose(
            np.asarray(logits)[np.asarray(mask) > 0], rows, rtol=0, atol=1e-5
        )


@every
def test_shared_keys_and_values_equal_encoding_the_whole_prompt_anew(name):
    model, params = decoder(name)
    support, query = task(model.vocab_size)
    found = outputs_of(model, params, support, query.inputs)
    expected = encoded_anew(model, params, examples_of(support), query.inputs)
    assert_as_anew(found, query.inputs, expected)
    alone = encoded_anew(model, params, [], query.inputs)
    assert max(np.abs(a - b).max() for a, b in zip(alone, expected, strict=True)) > 0.1


@pytest.mark.parametrize("change", ["packed", "left", "wider", "rows"])
def test_padding_of_the_support_set_and_of_queries_changes_nothing(change):
    model, params = decoder("gpt2")
    support, query = task(model.vocab_size)
    expected = encoded_anew(model, params, examples_of(support), query.inputs)
    changes = {
        "packed": lambda x: x._replace(inputs=packed(x.inputs)),
        "left": lambda x: left(x),
        "wider": lambda x: widened(x),
        "rows": lambda x: with_padding_rows(x),
    }
    support, query = map(changes[change], (support, query))
    found = outputs_of(model, params, support, query.inputs)
    assert_as_anew(
        found[:3], jax.tree.map(lambda x: x[:3], query.inputs.unpacked()), expected
    )


def left(part):
    tokens = padded_left(part.inputs)
    shift = np.asarray(part.inputs.ids.shape[1] - part.inputs.mask.sum(axis=1))
    rows = zip(np.asarray(part.targets), shift, strict=True)
    return part._replace(
        inputs=tokens, targets=jnp.asarray([np.roll(r, n) for r, n in rows])
    )


def widened(part):
    inputs = jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 2))), part.inputs)
    targets = jnp.pad(part.targets, ((0, 0), (0, 2)), constant_values=-1)
    return part._replace(inputs=inputs, targets=targets)


def with_padding_rows(part):
    """Rows of weight 0, of real tokens: they are no example."""
    more = batch(GPT.vocab_size, (4, 3), seed=5, weights=(0, 0))
    return jax.tree.map(lambda *x: jnp.concatenate(x), part, more)


def test_the_order_of_queries_permutes_outputs_and_that_of_examples_counts():
    model, params = decoder("gpt2")
    support, query = task(model.vocab_size)
    order = jnp.array([2, 0, 1])
    run = functools.partial(outputs_of, model, params)
    found = run(support, query.inputs)
    shuffled = run(support, jax.tree.map(lambda x: x[order], query.inputs))
    np.testing.assert_allclose(shuffled, found[order], atol=1e-6)
    other = run(jax.tree.map(lambda x: x[order], support), query.inputs)
    assert np.abs(np.asarray(other - found)).max() > 1e-3


@pytest.mark.parametrize(("size", "kept"), [(11, 3), (10, 2), (8, 1), (3, 0)])
def test_a_context_that_is_too_long_is_cut_by_whole_examples_and_counted(size, kept):
    """Examples of 4, 5 and 2 tokens."""
    model, params = decoder("gpt2")
    support, query = task(model.vocab_size)
    found = outputs_of(model, params, support, query.inputs, size)
    examples = examples_of(support)
    assert [len(example) for example in examples] == [4, 5, 2]
    expected = encoded_anew(model, params, examples[:kept], query.inputs)
    assert_as_anew(found, query.inputs, expected)
    algorithm = algorithm_of(model, params, size)
    start = algorithm.init(jax.random.key(0))
    adapted, _ = jax.jit(algorithm.adapt)(start, support)
    assert adapted["context"].left_out == len(examples) - kept


@pytest.mark.parametrize("name", ["gpt2", "qwen3"])
def test_the_meta_gradient_equals_float64_differences(name):
    make, config = DECODERS[name]
    one_layer = {"gpt2": "n_layer"}.get(name, "num_hidden_layers")
    model = make(dataclasses.replace(config, **{one_layer: 1}), dtype=jnp.float64)
    params = random_params(model)
    algorithm = algorithm_of(model, params)
    part = "encoder/layer_0/attention/key"  # Of the context, and of the queries.
    check = functools.partial(testing.check_meta_gradient, algorithm)
    check(task(model.vocab_size), trains=["*"], num_directions=1)
    check(task(model.vocab_size), trains=[part], num_directions=1)


def test_the_baseline_has_the_loss_of_the_plain_model_and_no_gradient():
    model, params = decoder("gpt2")
    learned, plain = (
        algorithm_of(model, params, make=make)
        for make in (algorithms.metaicl, algorithms.in_context)
    )
    start, one = learned.init(jax.random.key(0)), task(model.vocab_size)
    (loss, _), grads = jax.jit(jax.value_and_grad(plain.loss, has_aux=True))(start, one)
    assert loss == jax.jit(learned.loss)(start, one)[0]
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    "make", [models.greedy, functools.partial(models.beam_search, num_beams=2)]
)
@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_texts_generated_after_a_context_follow_the_whole_prompt(name, make):
    model, params = decoder(name)
    support, query = task(model.vocab_size)
    algorithm = algorithm_of(model, params)
    start = algorithm.init(jax.random.key(0))
    adapted, _ = jax.jit(algorithm.adapt)(start, support)
    found = make(model.after(adapted["context"]), max_new=3)(params, query.inputs)
    before = [token for example in examples_of(support) for token in example]
    first = jnp.broadcast_to(jnp.array(before), (3, len(before)))
    ids = jnp.concatenate([first, query.inputs.ids], axis=1)
    mask = jnp.concatenate([jnp.ones_like(first), query.inputs.mask], axis=1)
    expected = make(model, max_new=3)(params, models.Tokens(ids, None, mask))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_the_layers_of_a_context_may_run_in_a_loop():
    support, query = task(GPT.vocab_size)
    expected, looped = (
        outputs_of(*decoder("llama", layer_loop=loop), support, query.inputs)
        for loop in ("unroll", "scan")
    )
    np.testing.assert_allclose(looped, expected, atol=1e-5)


def test_a_model_without_context_is_refused_with_advice():
    seq2seq = models.seq2seq(SEQ2SEQ)
    assert seq2seq.in_context is None
    for model in (seq2seq.apply, models.gpt(GPT).apply):
        with pytest.raises(ValueError, match="conditions on no support set.*decoder"):
            algorithms.metaicl(model, losses.language_cross_entropy, None)
