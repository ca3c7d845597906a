"""Tests for the generated softmax layer."""

import chex
import jax
import numpy as np
import pytest

from metaflax import heads

D, N, H = 3, 3, 4
rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(4, D)).astype(np.float32)
TARGETS, WEIGHTS = np.array([2, 0, 2, 1]), np.array([1, 1, 1, 0], np.float32)


def network(params, x):
    hidden = np.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def test_rows_are_the_classs_mean_of_what_its_examples_generate():
    head = heads.leopard(D, N, num_hidden=H)
    params = jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32),
        head.init(jax.random.key(0)),
    )
    state = head.fit(params, FEATURES, TARGETS, WEIGHTS)
    rows = network(params["generate"], FEATURES)
    two = rows[[0, 2]].mean(0)
    chex.assert_trees_all_close(np.asarray(state["kernel"][:, 2]), two[:-1], rtol=1e-4)
    chex.assert_trees_all_close(np.asarray(state["bias"][2]), two[-1], rtol=1e-4)
    logits = np.asarray(head.apply(state, FEATURES[:2]).logits)[:, 0]
    expected = network(params["embed"], FEATURES[:2]) @ rows[1, :-1] + rows[1, -1]
    chex.assert_trees_all_close(logits, expected, rtol=1e-4)


def test_the_generator_is_for_the_outer_loop_and_the_rest_for_inner_steps():
    head = heads.leopard(D, N, num_hidden=H)
    params = head.init(jax.random.key(0))
    assert set(params) == {"embed", "generate"}
    state = head.fit(params, FEATURES, TARGETS, WEIGHTS)
    assert set(state) == {"embed", "kernel", "bias", "mask"}
    chex.assert_trees_all_equal(state["embed"], params["embed"])


def test_nothing_learned_depends_on_the_number_of_classes():
    few, many = (heads.leopard(D, n, num_hidden=H) for n in (2, 50))
    key = jax.random.key(0)
    chex.assert_trees_all_equal_shapes(few.init(key), many.init(key))


def test_networks_without_hidden_units_are_refused():
    with pytest.raises(ValueError, match="num_hidden is 1 or more, got -1"):
        heads.leopard(D, N, num_hidden=-1)
