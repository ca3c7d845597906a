"""Tests that rows of several sequences are encoded as each sequence is by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.layers import _parts
from tests import comparison
from tests.models import examples

CONFIG = dataclasses.replace(examples.CONFIG, num_hidden_layers=1)
PARAMS = examples.random_params(CONFIG)
# Tokens of the sequences of each row; the last row is padding.
TOWERS = ((3, 2), (1, 4), (4, 1), (0, 0))
BOTH = ((4, 2, 2), (3, 1, 2), (2, 1, 1), (0, 0, 0))


def rows_of(lengths, length):
    """Rows of sequences, and the batch of each sequence by itself."""
    totals = [sum(row) for row in lengths]
    tokens = examples.random_tokens(lengths=totals, length=length)
    starts = np.cumsum([(0, *row[:-1]) for row in lengths], axis=1)
    starts[-1] = starts[0]  # Padding has the marks of any text.
    parts = []
    for number in range(len(lengths[0])):
        ids, types, mask = (np.zeros((len(lengths), length), np.int32) for _ in "abc")
        for row, sizes in enumerate(lengths[:-1]):
            first, size = starts[row, number], sizes[number]
            ids[row, :size] = tokens.ids[row, first : first + size]
            types[row, :size] = tokens.types[row, first : first + size]
            mask[row, :size] = 1
        parts.append(models.Tokens(ids, types, mask))
    return tokens._replace(marks=jnp.asarray(starts, jnp.int32)), parts


@pytest.fixture(scope="module")
def inner():
    return models.encoder(CONFIG, pooling="mean", standardize=True)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(
    ("make", "lengths", "length"),
    [(_parts.two_towers, TOWERS, 5), (_parts.sequence_and_towers, BOTH, 8)],
)
def test_each_sequence_is_encoded_by_itself(inner, make, lengths, length, pack):
    tokens, parts = rows_of(lengths, length)
    by_itself = jax.jit(inner.apply)
    each = [by_itself(PARAMS, part)[:-1] for part in parts]
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in each[-2:])
    expected = np.concatenate([*each[:-2], comparison.compared(u, v)], axis=1)

    encoder = make(inner)
    if pack:
        tokens = examples.packed(tokens, budget=int(np.sum(tokens.mask)) + 3)
    features = jax.jit(encoder.apply)(PARAMS, tokens)
    assert encoder.num_features == expected.shape[1]
    np.testing.assert_allclose(features[:-1], expected, atol=2e-6)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("stage", [1, 2])
def test_stages_give_what_all_of_them_give_at_once(inner, stage):
    tokens, _ = rows_of(TOWERS, 5)
    apply = _parts.two_towers(inner).apply
    run = jax.jit(apply.run, static_argnums=(4, 5))
    states = run(PARAMS, tokens, None, None, 0, stage)
    assert all(len(leaf) == len(TOWERS) for leaf in jax.tree.leaves(states))
    ends = run(PARAMS, tokens, states, None, stage, len(apply.reads))
    at_once = jax.jit(apply)(PARAMS, tokens)
    np.testing.assert_allclose(ends[:-1], at_once[:-1], atol=2e-6)


def test_an_encoder_without_stages_is_one_stage():
    def apply(params, tokens, key=None):
        del key
        angles = params * jnp.sum(tokens.ids * tokens.mask, axis=1)
        return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=1)

    encoder = _parts.two_towers(models.Encoder(lambda key: 2.0, apply, 2))
    tokens, parts = rows_of(TOWERS, 5)
    u, v = (apply(2.0, part) for part in parts)
    expected = comparison.compared(u, v)
    features = jax.jit(encoder.apply)(2.0, tokens)
    np.testing.assert_allclose(features[:-1], expected[:-1], atol=1e-6)


@pytest.mark.thorough
def test_gradients_flow_through_both_towers(inner):
    tokens, _ = rows_of(TOWERS[:2] + TOWERS[-1:], 5)
    apply = _parts.two_towers(inner).apply

    def loss(params, tokens):
        return jnp.sum(jnp.sin(7.0 * apply(params, tokens)[:-1]))

    plain, packed = (
        jax.jit(jax.grad(loss))(PARAMS, each)
        for each in (tokens, examples.packed(tokens, 12))
    )
    norms = jax.tree.map(jnp.linalg.norm, plain["layer_0"])
    assert min(jax.tree.leaves(norms)) > 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), plain, packed
    )
