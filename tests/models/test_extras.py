"""Tests for low-rank factors, adapters and context vectors alike.

They change nothing initially, compose in any order, can be differentiated twice, and
work with packing, dropout and any dtype.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from metaflax import models, tree
from tests.models.examples import CONFIG, packed, random_params, random_tokens

ONE = dataclasses.replace(CONFIG, num_hidden_layers=1)
PARAMS, TOKENS, KEY = random_params(ONE), random_tokens(), jax.random.key(1)
ADDITIONS = {
    "lora": functools.partial(models.with_lora, rank=2, where="*"),
    "adapter": functools.partial(models.with_adapters, size=3),
    "context": functools.partial(models.with_context, size=4),
}
ADDED = ["*/lora", "*/adapter", "*/context"]


def add_all(params, names=tuple(ADDITIONS)):
    for i, name in enumerate(ADDITIONS):
        if name in names:
            params = ADDITIONS[name](params, jax.random.fold_in(KEY, i))
    return params


def away_from_start(params, seed=0):
    """Redraws the added leaves, so that none is zero."""
    rng = np.random.default_rng(seed)
    chosen, rest = tree.partition(params, ADDED)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), leaf.dtype), chosen
    )
    return tree.merge(drawn, rest)


GROWN = away_from_start(add_all(PARAMS))


@functools.partial(jax.jit, static_argnames=("pooling", "dtype"))
def features(params, tokens=TOKENS, key=None, *, pooling="mean", dtype=jnp.float32):
    encoder = models.encoder(ONE, pooling=pooling, dtype=dtype)
    return encoder.apply(params, tokens, key)


def loss(selected, rest, tokens=TOKENS, dtype=jnp.float32):
    encoder = models.encoder(ONE, dtype=dtype)
    outputs = encoder.apply(tree.merge(selected, rest), tokens, None)
    return jnp.mean(jnp.sin(outputs))


def gradient_of_all():
    return jax.jit(jax.grad(loss))(*tree.partition(GROWN, "*"))


@pytest.mark.parametrize("names", [*[(name,) for name in ADDITIONS], tuple(ADDITIONS)])
@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(3)]
)
def test_additions_change_nothing_at_first_with_and_without_dropout(names, key):
    for tokens in (TOKENS, packed(TOKENS)):
        chex.assert_trees_all_close(
            features(add_all(PARAMS, names), tokens, key),
            features(PARAMS, tokens, key),
            rtol=1e-6,
            atol=1e-6,
        )


@pytest.mark.parametrize("name", ADDITIONS)
def test_every_addition_matters_once_it_has_moved(name):
    grown = away_from_start(add_all(PARAMS, (name,)))
    assert np.max(np.abs(features(grown) - features(PARAMS))) > 0.01


@pytest.mark.parametrize("name", ADDITIONS)
def test_a_new_tree_shares_the_leaves_and_the_old_one_is_left_alone(name):
    before = tree.paths(PARAMS)
    grown = add_all(PARAMS, (name,))
    assert tree.paths(PARAMS) == before
    added, rest = tree.partition(grown, ADDED)
    assert tree.paths(rest) == before
    assert all(f"/{name}/" in path for path in tree.paths(added))
    for mine, theirs in zip(
        jax.tree.leaves(rest), jax.tree.leaves(PARAMS), strict=True
    ):
        assert mine is theirs


def test_additions_commute():
    backwards = PARAMS
    for i, (name, add) in reversed(list(enumerate(ADDITIONS.items()))):
        backwards = add(backwards, jax.random.fold_in(KEY, i))
        assert any(f"/{name}/" in path for path in tree.paths(backwards))
    chex.assert_trees_all_equal(backwards, add_all(PARAMS))


def test_additions_can_be_traced_and_take_the_dtype_of_their_module():
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    shapes = jax.eval_shape(add_all, half)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_packing_does_not_change_features(pooling):
    chex.assert_trees_all_close(
        features(GROWN, pooling=pooling),
        features(GROWN, packed(TOKENS), pooling=pooling),
        rtol=1e-4,
        atol=1e-5,
    )


def test_bfloat16_computes_near_float32():
    low, high = features(GROWN, dtype=jnp.bfloat16), features(GROWN)
    assert low.dtype == jnp.float32
    assert 0 < np.max(np.abs(low - high)) < 0.1


def test_dropout_follows_its_key():
    first, again, none = (features(GROWN, TOKENS, key) for key in (KEY, KEY, None))
    chex.assert_trees_all_equal(first, again)
    assert not np.allclose(first, none)


def test_the_gradient_reaches_every_added_leaf():
    gradient = tree.select(gradient_of_all(), ADDED)
    for path, leaf in zip(tree.paths(gradient), jax.tree.leaves(gradient), strict=True):
        # The pooler is not used here.
        assert np.any(np.abs(leaf) > 1e-6) != path.startswith("pooler"), path


def test_the_gradient_of_a_selection_is_its_part_of_the_whole():
    whole = gradient_of_all()
    for spec in (*ADDED, "embeddings/context/vector"):
        selected, rest = tree.partition(GROWN, spec)
        found = jax.jit(jax.grad(loss))(selected, rest)
        assert tree.paths(found) == tree.paths(selected)
        chex.assert_trees_all_close(
            found, tree.select(whole, spec), rtol=1e-4, atol=1e-6
        )


@pytest.mark.slow
def test_first_and_second_derivatives_match_differences_in_float64():
    small = dataclasses.replace(ONE, hidden_size=6, layer_norm_eps=1e-3)
    with jax.enable_x64(True):
        params = random_params(small, pooler=False)
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
        params = away_from_start(add_all(params))
        tokens = packed(random_tokens(small, (3, 2), length=3), 6)
        apply = models.encoder(small, dtype=jnp.float64).apply
        selected, rest = tree.partition(params, ADDED)

        @jax.jit
        def outputs(selected):
            return jnp.sin(apply(tree.merge(selected, rest), tokens, None))

        modes = ["fwd", "rev"]
        jax.test_util.check_grads(outputs, (selected,), 2, modes, rtol=1e-5)


def test_both_second_order_modes_agree():
    selected, rest = tree.partition(GROWN, ADDED)
    vector, _ = tree.partition(away_from_start(GROWN, seed=1), ADDED)
    gradient = jax.grad(functools.partial(loss, rest=rest, tokens=packed(TOKENS)))

    def slope(selected):
        products = jax.tree.map(jnp.vdot, gradient(selected), vector)
        return sum(jax.tree.leaves(products))

    _, forward = jax.jit(lambda s, v: jax.jvp(gradient, (s,), (v,)))(selected, vector)
    backward = jax.jit(jax.grad(slope))(selected)
    chex.assert_trees_all_close(forward, backward, rtol=1e-4, atol=1e-6)


def test_tasks_with_factors_of_their_own_share_the_kernels():
    T, D = 5, ONE.hidden_size
    _, rest = tree.partition(GROWN, "*/lora")
    each = [tree.select(away_from_start(GROWN, seed=t), "*/lora") for t in range(T)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    one = jax.value_and_grad(functools.partial(loss, rest=rest))
    batched = jax.make_jaxpr(jax.vmap(one))(stacked)
    assert f"f32[{T},{D},{D}]" not in str(batched)  # No kernel per task.

    looped = jax.tree.map(lambda *x: jnp.stack(x), *map(jax.jit(one), each))
    chex.assert_trees_all_close(
        jax.jit(jax.vmap(one))(stacked), looped, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
def test_float64_is_float64_everywhere(pooling):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), GROWN)
        encoder = models.encoder(
            ONE, pooling=pooling, standardize=True, dtype=jnp.float64
        )

        def total(params, key):
            return jnp.sum(encoder.apply(params, packed(TOKENS), key))

        for key in (None, KEY):
            jaxpr = str(jax.make_jaxpr(jax.grad(total))(params, key))
            assert "f64[" in jaxpr
            assert "f32[" not in jaxpr


@pytest.mark.parametrize("name", ADDITIONS)
def test_what_is_there_already_is_not_overwritten(name):
    with pytest.raises(ValueError, match=f"the parameters hold {name} already: "):
        ADDITIONS[name](GROWN, KEY)


@pytest.mark.parametrize("add", [*ADDITIONS.values()])
def test_only_the_parameters_of_one_bert_are_taken(add):
    with pytest.raises(
        ValueError, match="hold embeddings and layer_0; got a tree of e"
    ):
        add({"encoder": PARAMS, "head": {}}, KEY)


@pytest.mark.parametrize(
    ("add", "argument"),
    [
        (models.with_lora, "rank"),
        (models.with_adapters, "size"),
        (models.with_context, "size"),
    ],
)
@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_sizes_are_positive_integers(add, argument, size):
    with pytest.raises(ValueError, match=rf"{argument} must be a positive.*got {size}"):
        add(PARAMS, KEY, **{argument: size})
