"""Tests for choosing leaves of a parameter tree by path."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import tree
from metaflax.tree._paths import is_empty

PARAMS = {
    "encoder": {"embeddings": jnp.ones(2), "layer_0": {"kernel": jnp.full(2, 2.0)}},
    "head": {"bias": jnp.full(2, 3.0), "mask": jnp.array([True, False])},
    "steps": jnp.arange(2),
}
FLOATS = ["encoder/embeddings", "encoder/layer_0/kernel", "head/bias"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("encoder", FLOATS[:2]),  # A leading part chooses all below it.
        ("encoder/layer", []),  # A part of a name is no leading part of a path.
        ("encoder/layer_*", FLOATS[1:2]),
        ("*kernel", FLOATS[1:2]),
        (["head", "*embeddings"], [FLOATS[0], FLOATS[2]]),
        (["encoder", "!encoder/embeddings"], FLOATS[1:2]),
        (["!encoder/embeddings", "encoder"], FLOATS[:2]),  # Later patterns win.
        (["*", "!encoder", "*/kernel"], FLOATS[1:]),
        ("ENCODER", []),
        ([], []),
        (tree.everything, FLOATS),
        (tree.nothing, []),
        (lambda path: path.endswith("bias"), FLOATS[2:]),
    ],
)
def test_patterns_choose_paths(spec, expected):
    assert tree.paths(tree.select(PARAMS, spec)) == expected


def test_integers_and_booleans_are_never_selected():
    chosen = tree.select(PARAMS, tree.everything)
    assert chosen["head"]["mask"] is None
    assert chosen["steps"] is None


@pytest.mark.parametrize("leaf", [1.0, 2, True, jnp.tanh, "relu"])
def test_a_leaf_that_is_no_array_is_refused_by_its_path(leaf):
    params = {"layer": {"kernel": jnp.ones(2), "scale": leaf}}
    for choose in (tree.select, tree.partition):
        with pytest.raises(ValueError, match=r"leaf layer/scale .* jnp\.asarray"):
            choose(params, "*")


def test_merging_a_partition_gives_the_tree_back():
    chosen, rest = tree.partition(PARAMS, ["head", "!*mask"])
    assert tree.paths(chosen) == ["head/bias"]
    assert tree.paths(rest) == [p for p in tree.paths(PARAMS) if p != "head/bias"]
    chex.assert_trees_all_equal(tree.merge(chosen, rest), PARAMS)
    chex.assert_trees_all_equal(tree.merge(rest, chosen), PARAMS)


def test_merging_takes_the_first_that_is_there():
    first, second = {"a": np.ones(()), "b": None}, {"a": np.zeros(()), "b": np.ones(())}
    assert tree.merge(first, second) == {"a": 1, "b": 1}


def test_emptiness_is_having_no_leaf():
    assert is_empty(tree.select(PARAMS, tree.nothing))
    assert not is_empty(PARAMS)


def test_optax_descends_a_selection_and_holds_nothing_for_the_rest():
    chosen, rest = tree.partition(PARAMS, "head")
    optimizer = optax.adam(0.1)
    state = optimizer.init(chosen)
    assert [x.shape for x in jax.tree.leaves(state[0].mu)] == [(2,)]
    updates, state = optimizer.update(chosen, state, chosen)
    moved = tree.merge(optax.apply_updates(chosen, updates), rest)
    chex.assert_trees_all_close(moved["head"]["bias"], jnp.full(2, 2.9), rtol=1e-5)
    chex.assert_trees_all_equal(moved["encoder"], PARAMS["encoder"])


def test_paths_of_lists_and_tuples_are_numbers():
    assert tree.paths([{"w": np.ones(1)}, (np.ones(1),)]) == ["0/w", "1/0"]
