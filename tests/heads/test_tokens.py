"""Tests that heads and losses of tokens equal those of the same units in one row."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads, losses

S, L, D, N, Q = 3, 5, 4, 3, 2
HEADS = {
    "detected": heads.detected(heads.prototypes(N), D, N),
    "linear": heads.linear(D, N),
    "nearest": heads.nearest(N),
    "prototypes": heads.prototypes(N, num_features=D),
    "ridge": heads.ridge(N),
}
every = pytest.mark.parametrize("name", sorted(HEADS))

rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(S, L, D)).astype(np.float32)
QUERIES = rng.normal(size=(Q, L, D)).astype(np.float32)
TARGETS = np.array([[-1, 0, 1, -1, -1], [-1, 2, -1, 0, 1], [0, 0, 0, 0, 0]])
WEIGHTS = np.array([1, 2, 0], np.float32)  # The last text is padding.
UNITS = (TARGETS >= 0) & (WEIGHTS[:, None] > 0)  # [S, L]
QUERY_TARGETS = np.array([[-1, 0, 1, 2, -1], [2, -1, -1, -1, -1]])


def answers(head, features, targets, weights, queries):
    state = head.fit(head.init(jax.random.key(0)), features, targets, weights)
    return head.apply(state, queries)


@functools.cache
def compiled(name):
    return jax.jit(functools.partial(answers, heads.per_token(HEADS[name])))


def of_tokens(name, features=FEATURES, targets=TARGETS, weights=WEIGHTS):
    return compiled(name)(features, targets, weights, QUERIES)


@every
def test_tokens_are_answered_as_units_in_one_row(name):
    weights = np.broadcast_to(WEIGHTS[:, None], (S, L))
    expected = jax.jit(functools.partial(answers, HEADS[name]))(
        FEATURES[UNITS],
        TARGETS[UNITS],
        weights[UNITS],
        QUERIES.reshape(-1, D),
    )
    found = of_tokens(name)
    assert found.logits.shape == (Q, L, N)
    assert found.mask.tolist() == expected.mask.tolist()
    chex.assert_trees_all_close(
        found.logits.reshape(-1, N), expected.logits, rtol=1e-5, atol=1e-5
    )


@every
def test_tokens_that_are_no_unit_and_longer_rows_change_nothing(name):
    filled = np.where(UNITS[:, :, None], FEATURES, 50)
    wider = np.pad(filled, ((0, 1), (0, 2), (0, 0)), constant_values=9)
    targets = np.pad(TARGETS, ((0, 1), (0, 2)), constant_values=-1)
    found = of_tokens(name, wider, targets, np.append(WEIGHTS, np.float32(1)))
    chex.assert_trees_all_close(found, of_tokens(name), rtol=1e-5, atol=1e-5)


@every
def test_gradients_of_tokens_are_finite_and_reach_units_alone(name):
    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradients(features, queries):
        head = heads.per_token(HEADS[name])
        outputs = answers(head, features, TARGETS, WEIGHTS, queries)
        loss = losses.per_token(losses.softmax_cross_entropy)
        return loss(outputs, QUERY_TARGETS, np.ones(Q))

    of_support, of_queries = gradients(FEATURES, QUERIES)
    chex.assert_tree_all_finite((of_support, of_queries))
    assert np.all(of_support[~UNITS] == 0)
    assert name == "linear" or np.any(of_support[UNITS] != 0)
    reached = np.abs(of_queries).sum(-1) > 0
    assert np.all(reached == (QUERY_TARGETS >= 0))


def test_a_head_of_tokens_is_else_the_same():
    head = heads.per_token(HEADS["prototypes"])
    assert head.serves == {"classes"}
    state = jax.eval_shape(
        head.fit, head.init(jax.random.key(0)), FEATURES, jnp.array(TARGETS), WEIGHTS
    )
    template = head.template(head.init(jax.random.key(0)))
    chex.assert_trees_all_equal_shapes_and_dtypes(template, state)
    assert heads.per_token(HEADS["nearest"]).template is None


def test_targets_of_texts_are_refused():
    with pytest.raises(AssertionError, match=r"targets of tokens are \[S, L\]"):
        of_tokens("prototypes", targets=TARGETS[:, 0])
