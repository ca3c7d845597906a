"""Tests for the BERT network: packing, derivatives, dropout, precision, limits.

Outputs are compared with torch in `pretrained/test_parity.py`.
"""

import dataclasses
import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from metaflax import models, tree
from metaflax.models.layers import _modules
from tests import marks
from tests.models import examples
from tests.models.examples import CONFIG, packed, random_params, random_tokens

PARAMS = random_params(CONFIG)
TOKENS = random_tokens()
# Derivatives are compiled more often than run, and one layer has every part.
ONE = dataclasses.replace(CONFIG, num_hidden_layers=1)
ONE_PARAMS, VECTOR = random_params(ONE), random_params(ONE, seed=1)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("standardize", "dtype"))
def features(pooling, params=PARAMS, tokens=TOKENS, key=None, **kwargs):
    return models.encoder(CONFIG, pooling=pooling, **kwargs).apply(params, tokens, key)


hidden_states = jax.jit(functools.partial(examples.hidden_states, CONFIG))


def loss(pooling, params, tokens, **kwargs):
    apply = models.encoder(ONE, pooling=pooling, **kwargs).apply
    return jnp.mean(jnp.sin(apply(params, tokens, None)))


@functools.partial(jax.jit, static_argnums=0, static_argnames="standardize")
def derivatives(pooling, params, tokens, vector, **kwargs):
    """The loss, its directional derivative, the gradient and the Hessian product."""

    def gradient(params):
        return jax.value_and_grad(loss, argnums=1)(pooling, params, tokens, **kwargs)

    return jax.jvp(gradient, (params,), (vector,))


def hessian_vector_by_two_reversals(pooling, params, tokens, vector):
    def slope(params):
        gradient = jax.grad(loss, argnums=1)(pooling, params, tokens)
        return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, vector)))

    return jax.grad(slope)(params)


def test_names_of_parameters_are_flat_and_clean():
    found = tree.paths(PARAMS)
    dense, norm = ["bias", "kernel"], ["bias", "scale"]
    layer = [
        *(f"attention/{n}/{leaf}" for n in ("key",) for leaf in dense),
        *(f"attention/norm/{leaf}" for leaf in norm),
        *(f"attention/{n}/{leaf}" for n in ("output", "query") for leaf in dense),
        *(f"attention/value/{leaf}" for leaf in dense),
        *(f"mlp/down/{leaf}" for leaf in dense),
        *(f"mlp/norm/{leaf}" for leaf in norm),
        *(f"mlp/up/{leaf}" for leaf in dense),
    ]
    expected = [
        *(f"embeddings/norm/{leaf}" for leaf in norm),
        *(f"embeddings/{table}" for table in ("position", "token_type", "word")),
        *(f"layer_{i}/{path}" for i in range(2) for path in layer),
        *(f"pooler/{leaf}" for leaf in dense),
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
def test_packing_does_not_change_features(pooling):
    chex.assert_trees_all_close(
        features(pooling),
        features(pooling, tokens=packed(TOKENS)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("pooling", "types"),
    [("mean", True), pytest.param("first", False, marks=pytest.mark.slow)],
)
def test_packing_changes_no_derivative(pooling, types):
    tokens = random_tokens(types=types)
    chex.assert_trees_all_close(
        derivatives(pooling, ONE_PARAMS, tokens, VECTOR),
        derivatives(pooling, ONE_PARAMS, packed(tokens), VECTOR),
        rtol=1e-4,
        atol=1e-5,
    )


def test_both_second_order_modes_agree_on_packed_texts():
    arguments = ONE_PARAMS, packed(TOKENS), VECTOR
    _, (_, forward_over_reverse) = derivatives("mean", *arguments)
    reverse_twice = functools.partial(hessian_vector_by_two_reversals, "mean")
    chex.assert_trees_all_close(
        forward_over_reverse, jax.jit(reverse_twice)(*arguments), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("batched_by", marks.quick(["vmap", "scan"], ["scan"]))
def test_derivatives_of_a_batch_of_packed_batches_equal_a_loop(batched_by):
    batches = [
        packed(random_tokens(seed=3)),
        packed(random_tokens(lengths=(2, 7, 6, 4), seed=4)),
    ]
    several = [ONE_PARAMS, random_params(ONE, seed=2)]
    stacked = [jax.tree.map(lambda *x: jnp.stack(x), *x) for x in (several, batches)]

    def one(params, tokens):
        return derivatives("mean", params, tokens, VECTOR)

    if batched_by == "scan":
        result = jax.jit(lambda x: jax.lax.map(lambda pt: one(*pt), x))(tuple(stacked))
    else:
        result = jax.jit(jax.vmap(one))(*stacked)
    looped = [one(*pair) for pair in zip(several, batches, strict=True)]
    looped = jax.tree.map(lambda *x: jnp.stack(x), *looped)
    chex.assert_trees_all_close(result, looped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
def test_reading_the_first_token_only_gives_what_reading_all_does(pack):
    states = hidden_states(PARAMS, pack(TOKENS))
    chex.assert_trees_all_close(
        features("first", tokens=pack(TOKENS)), states[:, 0], rtol=1e-5, atol=1e-6
    )


def test_padding_does_not_change_hidden_states():
    ids, types, mask, *_ = TOKENS
    wider = [jnp.pad(x, ((0, 0), (0, 2))) for x in (ids, types, mask)]
    states = hidden_states(PARAMS, models.Tokens(*wider))[:, :7]
    real = TOKENS.mask[:, :, None] > 0
    chex.assert_trees_all_close(
        jnp.where(real, states, 0),
        jnp.where(real, hidden_states(PARAMS, TOKENS), 0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_hidden_states_are_zero_at_padding_of_packed_texts():
    states = hidden_states(PARAMS, packed(TOKENS))
    assert not np.any(np.asarray(states)[np.asarray(TOKENS.mask) == 0])


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
@pytest.mark.parametrize("pack", [packed, lambda tokens: tokens])
def test_a_text_of_padding_only_is_finite_and_does_not_touch_the_others(pooling, pack):
    empty = pack(random_tokens(lengths=(7, 3, 0, 5)))
    full = pack(random_tokens(lengths=(7, 3, 1, 5)))
    others = jnp.array([0, 1, 3])
    apply = functools.partial(features, pooling, standardize=True)
    chex.assert_trees_all_close(
        apply(tokens=empty)[others], apply(tokens=full)[others], rtol=1e-4, atol=1e-6
    )
    chex.assert_tree_all_finite(apply(tokens=empty))


@pytest.mark.parametrize("pooling", marks.quick(["mean", "first"], ["mean"]))
def test_a_text_of_padding_only_has_finite_derivatives(pooling):
    empty = packed(random_tokens(lengths=(2, 0)), 6)
    start = models.encoder(ONE, pooling=pooling).init(jax.random.key(0))
    chex.assert_tree_all_finite(
        derivatives(pooling, start, empty, start, standardize=True)
    )


@pytest.mark.parametrize("pooling", marks.quick(["mean", "pooler"], ["pooler"]))
def test_first_and_second_derivatives_match_differences_in_float64(pooling):
    small = dataclasses.replace(ONE, hidden_size=6, layer_norm_eps=1e-3)
    with jax.enable_x64(True):
        params = random_params(small, pooler=pooling == "pooler")
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
        tokens = packed(random_tokens(small, (3, 2), length=3), 6)
        encoder = models.encoder(
            small, pooling=pooling, standardize=True, dtype=jnp.float64
        )
        apply = jax.jit(lambda params: jnp.sin(encoder.apply(params, tokens, None)))
        jax.test_util.check_grads(apply, (params,), order=2, modes=["rev"], rtol=1e-5)


def test_dropout_follows_its_key_and_none_is_none():
    apply = functools.partial(features, "mean")
    first, again, other, none = (
        apply(PARAMS, packed(TOKENS), key)
        for key in (jax.random.key(1), jax.random.key(1), jax.random.key(2), None)
    )
    chex.assert_trees_all_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, none)
    calm = dataclasses.replace(
        CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    encoder = models.encoder(calm)
    chex.assert_trees_all_close(
        jax.jit(encoder.apply)(PARAMS, TOKENS, jax.random.key(1)),
        features("mean"),
        rtol=1e-5,
    )


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=rate)

    class Dropped(_modules.Block):
        @nn.compact
        def __call__(self, x):
            return self.dropout(x, jax.random.key(0))

    out = Dropped(config, jnp.float32).apply({}, jnp.ones((400, 100)))
    assert np.mean(np.asarray(out) == 0) == pytest.approx(rate, abs=0.01)
    assert np.mean(out) == pytest.approx(1.0, abs=0.02)


def test_a_smaller_word_table_with_renumbered_ids_gives_the_same_features():
    used, ids = jnp.unique(TOKENS.ids, return_inverse=True)
    word = PARAMS["embeddings"]["word"][used]
    params = {**PARAMS, "embeddings": {**PARAMS["embeddings"], "word": word}}
    tokens = TOKENS._replace(ids=ids.reshape(TOKENS.ids.shape))
    chex.assert_trees_all_close(
        features("first", params, tokens), features("first"), rtol=1e-6
    )


def test_texts_longer_than_the_positions_are_refused_while_tracing():
    tokens = random_tokens(length=10)
    with pytest.raises(ValueError, match=r"10 tokens .* max_position_embeddings=9"):
        jax.eval_shape(functools.partial(features, "mean"), PARAMS, tokens)


def test_a_missing_pooler_is_named():
    with pytest.raises(ValueError, match=r'no pooler.*pooling="mean" or "first"'):
        features("pooler", random_params(CONFIG, pooler=False))
