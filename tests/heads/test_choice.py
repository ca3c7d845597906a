"""Test suite for heads that score the choices of a text."""

import functools

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads, losses

U, N, D, Q = 6, 4, 3, 5
HEADS = {
    "linear_choice": heads.linear_choice(D),
    "ridge_choice": heads.ridge_choice(D, kernel_init=jax.nn.initializers.normal(0.3)),
}
every = pytest.mark.parametrize("name", sorted(HEADS))
rng = np.random.default_rng(0)
COUNTS, QUERY_COUNTS = np.array([4, 2, 3, 4, 2, 4]), np.array([2, 4, 3, 2, 4])
WEIGHTS = np.array([1, 1, 1, 0.5, 1, 0], np.float32)
TARGETS, QUERY_TARGETS = np.array([3, 1, 2, 0, 0, 3]), np.array([1, 3, 2, 0, 1])


def choices(counts, seed):
    features = np.random.default_rng(seed).normal(size=(len(counts), N, D))
    return np.where(present(counts)[..., None], features, 0).astype(np.float32)


def present(counts):
    return np.arange(N) < counts[:, None]


FEATURES, QUERIES = choices(COUNTS, 1), choices(QUERY_COUNTS, 2)


def outputs(name, params, features, targets, weights, queries):
    head = HEADS[name]
    return head.apply(head.fit(params, features, targets, weights), queries)


def params_of(name):
    return HEADS[name].init(jax.random.key(1))


def logits(name, features=FEATURES, targets=TARGETS, weights=WEIGHTS, queries=QUERIES):
    made = outputs(name, params_of(name), features, targets, weights, queries)
    return np.asarray(made.logits)


def loss(name, params, features, queries):
    made = outputs(name, params, features, TARGETS, WEIGHTS, queries)
    return losses.softmax_cross_entropy(made, QUERY_TARGETS, np.ones(Q))


@functools.cache
def gradient_of(name):
    return jax.jit(jax.grad(functools.partial(loss, name), (0, 1, 2)))


@every
def test_absent_choices_get_no_probability(name):
    shares = np.asarray(jax.nn.softmax(logits(name)))
    assert np.all(shares[~present(QUERY_COUNTS)] == 0)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)


@every
def test_more_room_for_choices_changes_nothing(name):
    wide, more = (np.pad(x, ((0, 0), (0, 2), (0, 0))) for x in (FEATURES, QUERIES))
    padded = logits(name, wide, queries=more)
    np.testing.assert_allclose(padded[:, :N], logits(name), rtol=1e-4, atol=1e-5)


@every
def test_padding_changes_nothing_whatever_it_holds(name):
    counts = WEIGHTS > 0
    alone = logits(name, FEATURES[counts], TARGETS[counts], WEIGHTS[counts])
    other = np.where(counts[:, None, None], FEATURES, np.nan)
    np.testing.assert_allclose(logits(name, other), alone, rtol=1e-4, atol=1e-5)


@every
def test_the_order_of_choices_permutes_the_scores(name):
    order = np.array([1, 0, 3, 2])
    queries = np.where(present(np.full(Q, N))[..., None], choices(np.full(Q, N), 3), 0)
    support, full = choices(np.full(U, N), 4), logits
    moved = full(
        name, support[:, order], np.argsort(order)[TARGETS], queries=queries[:, order]
    )
    kept = full(name, support, queries=queries)
    np.testing.assert_allclose(moved, kept[:, order], rtol=1e-4, atol=1e-5)


@every
def test_vmap_equals_a_loop_and_is_traced_once(name):
    params = params_of(name)
    targets = np.stack([TARGETS, np.zeros(U, int)])
    weights = np.stack([WEIGHTS, WEIGHTS[::-1]])

    @jax.jit
    @chex.assert_max_traces(n=1)
    def one(targets, weights):
        return outputs(name, params, FEATURES, targets, weights, QUERIES)

    each = [one(*task) for task in zip(targets, weights, strict=True)]
    batched = jax.vmap(lambda y, w: outputs(name, params, FEATURES, y, w, QUERIES))(
        targets, weights
    )
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *each)
    chex.assert_trees_all_close(batched, stacked, rtol=1e-4, atol=1e-5)


@every
def test_the_template_is_what_fit_gives_in_shapes_and_types(name):
    head, params = HEADS[name], params_of(name)
    fitted = jax.eval_shape(head.fit, params, FEATURES, TARGETS, WEIGHTS)
    chex.assert_trees_all_equal_shapes_and_dtypes(head.template(params), fitted)


@every
def test_x64_keeps_one_type(name):
    with jax.enable_x64(True):
        params, features = params_of(name), FEATURES.astype(np.float64)
        made = outputs(name, params, features, TARGETS, WEIGHTS, features)
        assert made.logits.dtype == jnp.float64


@every
def test_half_precision_stays(name):
    half = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.bfloat16),
        (params_of(name), FEATURES, WEIGHTS, QUERIES),
    )
    params, features, weights, queries = half
    made = outputs(name, params, features, TARGETS, weights, queries)
    assert made.logits.dtype == jnp.bfloat16
    real = present(QUERY_COUNTS)
    chex.assert_trees_all_close(
        np.asarray(made.logits, np.float32)[real],
        logits(name)[real],
        rtol=0.1,
        atol=0.2,
    )


@every
@pytest.mark.parametrize("value", [None, 0.0, 1.0, 1e-30, 1e4])
def test_gradients_are_finite_and_none_reaches_padding(name, value):
    alike = FEATURES if value is None else np.full_like(FEATURES, value)
    of_params, of_features, of_queries = gradient_of(name)(
        params_of(name), alike, QUERIES
    )
    chex.assert_tree_all_finite((of_params, of_features, of_queries))
    assert np.all(of_features[WEIGHTS == 0] == 0)


def test_ridge_solves_its_problem():
    head = heads.ridge_choice(
        D, strength=0.7, scale=2.0, kernel_init=jax.nn.initializers.normal(0.3)
    )
    params = head.init(jax.random.key(3))
    prior = np.asarray(params["kernel"], np.float64)[:, 0]
    matrix, vector = 0.7 * np.eye(D), 0.7 * prior
    for features, count, target, weight in zip(
        FEATURES.astype(np.float64), COUNTS, TARGETS, WEIGHTS, strict=True
    ):
        x = features[:count] - features[:count].mean(axis=0)
        y = (np.arange(count) == target) - 1 / count
        matrix, vector = matrix + weight * x.T @ x, vector + weight * x.T @ y
    expected = 2.0 * np.linalg.solve(matrix, vector)
    state = head.fit(params, FEATURES, TARGETS, WEIGHTS)
    np.testing.assert_allclose(state["kernel"][:, 0], expected, rtol=1e-4)


def test_ridge_without_support_is_its_prior():
    params = params_of("ridge_choice")
    state = HEADS["ridge_choice"].fit(params, FEATURES, TARGETS, 0 * WEIGHTS)
    np.testing.assert_allclose(state["kernel"], 10.0 * params["kernel"], rtol=1e-6)


def test_a_strength_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="the strength is above 0, got 0"):
        heads.ridge_choice(D, strength=0.0)
