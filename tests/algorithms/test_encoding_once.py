"""Tests that the encoder runs once per text if inner steps do not change it."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import algorithms, base, losses, tree
from metaflax.algorithms import _encoding_once
from tests.algorithms import text_free

PARAMS = {"encoder": {"w": jnp.asarray(10.0)}, "head": {"b": jnp.zeros(1)}}
SUPPORT = base.Batch(jnp.arange(3.0), jnp.zeros(3, int), jnp.ones(3))
QUERY = base.Batch(jnp.arange(3.0, 5.0), jnp.ones(2, int), jnp.ones(2))


def echo(encode_fn):
    """An algorithm that returns its encoder and its arguments."""
    return base.MetaAlgorithm(
        init=lambda key: encode_fn,
        adapt=lambda params, support, key=None: ((encode_fn, params, support, key), 0),
        predict=lambda params, adapted, inputs, key=None: encode_fn,
        loss=lambda params, task, key=None, step=None: (
            (encode_fn, params, task, key),
            0,
        ),
    )


def build(adapts, *, promises=True):
    seen = []

    def run(params, inputs, states, key, first, last):
        seen.append((inputs, key))
        return params["w"] * jax.tree.leaves(inputs)[0]

    encode = base.StagedApply((tree.everything,), run, examples_independent=promises)
    return _encoding_once.encoding_once(encode, adapts, echo), encode, seen


def test_adaptation_sees_features_where_the_encoder_stays():
    algorithm, _, seen = build("head")
    (encode, _, support, _), _ = algorithm.adapt(PARAMS, SUPPORT)
    assert len(seen) == 1
    expected = 10 * jnp.arange(3.0)
    chex.assert_trees_all_equal(encode(None, support.inputs, None), expected)
    assert len(seen) == 1


def test_the_loss_encodes_support_and_query_in_one_call_and_parts_them_again():
    algorithm, _, seen = build("head")
    (encode, _, task, _), _ = algorithm.loss(PARAMS, base.Task(SUPPORT, QUERY))
    assert len(seen) == 1
    for part, whole in zip(task, (SUPPORT, QUERY), strict=True):
        features = encode(None, part.inputs, None)
        chex.assert_trees_all_equal(features, 10 * whole.inputs)
        chex.assert_trees_all_equal(part[1:], whole[1:])


@pytest.mark.parametrize("key", [None, jax.random.key(0)])
def test_without_a_promise_each_part_is_encoded_alone(key):
    algorithm, _, seen = build("head", promises=False)
    (encode, _, task, _), _ = algorithm.loss(PARAMS, base.Task(SUPPORT, QUERY), key)
    (of_support, support_key), (of_query, query_key) = seen
    chex.assert_trees_all_equal((of_support, of_query), (SUPPORT.inputs, QUERY.inputs))
    for part, whole in zip(task, (SUPPORT, QUERY), strict=True):
        chex.assert_trees_all_equal(encode(None, part.inputs, None), 10 * whole.inputs)
    algorithm.adapt(PARAMS, SUPPORT, key)
    assert seen[2][1] == support_key
    assert (support_key is None and query_key is None) or support_key != query_key


def centred(params, inputs, key):
    """Features less their mean over examples, as in batch normalisation."""
    features = text_free.encode(params, inputs, key)
    return features - jnp.mean(features, axis=0, keepdims=True)


@pytest.mark.parametrize("name", ["anil", "protonet", "ridge", "frozen", "matching"])
def test_an_encoder_of_whole_batches_leaks_nothing_of_the_query_set(name):
    row = text_free.ROWS[name]
    make = getattr(algorithms, name)
    algorithm = make(centred, losses.softmax_cross_entropy, text_free.init, **row)
    params, task = algorithm.init(jax.random.key(0)), text_free.task()
    adapted, _ = algorithm.adapt(params, task.support)
    outputs = algorithm.predict(params, adapted, task.query.inputs)
    expected = losses.softmax_cross_entropy(outputs, *task.query[1:])
    value, _ = algorithm.loss(params, task)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("adapts", ["encoder", "*", ["head", "encoder/w"]])
def test_an_encoder_that_adapts_is_left_to_the_inner_loop(adapts):
    algorithm, encode, seen = build(adapts)
    task, key = base.Task(SUPPORT, QUERY), jax.random.key(0)
    assert algorithm.adapt(PARAMS, SUPPORT, key)[0] == (encode, PARAMS, SUPPORT, key)
    assert algorithm.loss(PARAMS, task, key)[0] == (encode, PARAMS, task, key)
    assert not seen


def test_predictions_and_initial_parameters_are_those_on_inputs():
    algorithm, encode, _ = build("head")
    assert algorithm.init(jax.random.key(0)) is encode
    assert algorithm.predict(PARAMS, None, None) is encode


def test_the_encoder_and_the_rest_draw_from_keys_of_their_own():
    algorithm, _, seen = build("head")
    key = jax.random.key(0)
    (*_, inner_key), _ = algorithm.adapt(PARAMS, SUPPORT, key)
    (*_, loss_key), _ = algorithm.loss(PARAMS, base.Task(SUPPORT, QUERY), key)
    for encode_key, other in ((seen[0][1], inner_key), (seen[1][1], loss_key)):
        data = {
            tuple(jax.random.key_data(k).tolist()) for k in (key, encode_key, other)
        }
        assert len(data) == 3


def test_without_a_key_nobody_gets_one():
    algorithm, _, seen = build("head")
    (*_, inner_key), _ = algorithm.adapt(PARAMS, SUPPORT)
    assert inner_key is seen[0][1] is None


class Ragged(NamedTuple):
    """Inputs with a method to concatenate them."""

    rows: jax.Array
    longest: int

    def concatenate(self, other):
        rows = jnp.concatenate([self.rows, other.rows])
        return Ragged(rows, max(self.longest, other.longest))


def test_inputs_that_join_themselves_are_asked_to():
    algorithm, _, seen = build("head")
    task = base.Task(
        SUPPORT._replace(inputs=Ragged(SUPPORT.inputs, 4)),
        QUERY._replace(inputs=Ragged(QUERY.inputs, 9)),
    )
    algorithm.loss(PARAMS, task)
    joined, _ = seen[0]
    assert joined.longest == 9
    chex.assert_trees_all_equal(joined.rows, jnp.arange(5.0))


def test_the_loss_and_gradient_are_those_of_encoding_each_part_alone():
    algorithm = text_free.make("protonet")
    params, task = algorithm.init(jax.random.key(0)), text_free.task(way=text_free.N)
    one_hot = np.eye(text_free.N)[task.support.targets]

    def by_hand(encoder):
        support, query = (text_free.encode(encoder, part.inputs, None) for part in task)
        means = one_hot.T @ support / one_hot.sum(0)[:, None]
        distances = jnp.sum((query[:, None] - means[None]) ** 2, -1)
        logs = jax.nn.log_softmax(-distances)
        return -jnp.mean(jnp.take_along_axis(logs, task.query.targets[:, None], 1))

    expected = jax.jit(jax.value_and_grad(by_hand))(params["encoder"])
    (value, _), grads = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))(
        params, task
    )
    chex.assert_trees_all_close(
        (value, grads["encoder"]), expected, rtol=1e-4, atol=1e-6
    )
