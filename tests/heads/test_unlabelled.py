"""Tests for semi-supervised heads, compared with NumPy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

N, D, S, U, TAU = 3, 4, 6, 10, 0.7
TARGETS = np.r_[np.array([0, 0, 0, 1, 1, 1]), -np.ones(U, int)]  # Class 2 is absent.
WEIGHTS = np.r_[np.ones(S), 0.5, np.ones(U - 2), 0]  # The last is padding.
FEATURES = np.random.default_rng(0).normal(size=(S + U, D)) + 0.4 * TARGETS[:, None]
HEADS = {
    "soft_k_means": heads.soft_k_means(N, temperature=TAU),
    "soft_k_means, three steps": heads.soft_k_means(N, temperature=TAU, num_steps=3),
    "label_propagation": heads.label_propagation(N, temperature=TAU, num_neighbours=4),
}
every = pytest.mark.parametrize("name", HEADS)


@functools.cache
def compiled(name):
    return jax.jit(HEADS[name].fit)


def fitted(name, features=FEATURES, targets=TARGETS, weights=WEIGHTS):
    with jax.enable_x64(True):
        params = HEADS[name].init(jax.random.key(0))
        params = jax.tree.map(lambda x: x.astype(float), params)
        units = map(jnp.asarray, (features, targets, weights))
        return jax.tree.map(np.asarray, compiled(name)(params, *units))


def means_of(state):
    return state["kernel"].T / (2 * TAU)


def one_hot():
    return np.eye(N)[np.maximum(TARGETS, 0)] * ((TARGETS >= 0) * WEIGHTS)[:, None]


def means(members):
    counts = members.sum(0)
    return members.T @ FEATURES / np.where(counts > 0, counts, 1)[:, None]


def soft_k_means(num_steps):
    """Class means after some steps, unit by unit."""
    centres = means(one_hot())
    for _ in range(num_steps):
        members = one_hot()
        for u in range(S, S + U):
            nearness = [
                np.exp(-TAU * np.sum((FEATURES[u] - centres[n]) ** 2)) for n in (0, 1)
            ]
            members[u, [0, 1]] = WEIGHTS[u] * np.array(nearness) / sum(nearness)
        centres = means(members)
    return centres


def label_propagation(num_neighbours, alpha):
    """Class means by the closed form, over units of positive weight."""
    units = np.flatnonzero(WEIGHTS > 0)
    x = FEATURES[units]
    squares = np.sum((x[:, None] - x[None]) ** 2, axis=-1)
    graph = np.zeros_like(squares)
    for u in range(len(units)):
        for v in [v for v in np.argsort(squares[u]) if v != u][:num_neighbours]:
            graph[u, v] = graph[v, u] = np.exp(-TAU * squares[u, v])
    degrees = graph.sum(1)
    graph /= np.sqrt(np.outer(degrees, degrees))
    labels = one_hot()[units]
    labels = labels / np.maximum(labels.sum(0), 1)
    spread = np.linalg.inv(np.eye(len(units)) - alpha * graph) @ labels
    members = one_hot()
    free = TARGETS[units] < 0
    shares = spread / spread.sum(1, keepdims=True)
    members[units[free]] = WEIGHTS[units[free], None] * shares[free]
    return means(members)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("soft_k_means", soft_k_means(1)),
        ("soft_k_means, three steps", soft_k_means(3)),
        ("label_propagation", label_propagation(4, 0.8)),
    ],
)
def test_class_means_are_those_of_numpy(name, expected):
    state = fitted(name)
    np.testing.assert_allclose(means_of(state), expected, rtol=1e-10, atol=1e-12)
    bias = -TAU * np.sum(expected**2, axis=1)
    np.testing.assert_allclose(state["bias"], bias, rtol=1e-10, atol=1e-12)
    assert state["mask"].tolist() == [True, True, False]
    assert np.max(np.abs(expected - means(one_hot()))) > 0.05


@every
def test_the_order_of_unlabelled_units_changes_nothing(name):
    order = np.r_[np.arange(S), S + np.random.default_rng(1).permutation(U)]
    shuffled = fitted(name, FEATURES[order], TARGETS[order], WEIGHTS[order])
    np.testing.assert_allclose(shuffled["kernel"], fitted(name)["kernel"], rtol=1e-10)


@every
def test_unlabelled_units_of_weight_0_change_nothing(name):
    other = np.where((WEIGHTS > 0)[:, None], FEATURES, np.nan)
    np.testing.assert_array_equal(fitted(name, other)["kernel"], fitted(name)["kernel"])


@every
def test_without_unlabelled_units_they_are_class_means(name):
    state = fitted(name, FEATURES[:S], TARGETS[:S], WEIGHTS[:S])
    np.testing.assert_allclose(means_of(state), means(one_hot()), atol=1e-12)


@every
def test_gradients_equal_float64_differences(name):
    with jax.enable_x64(True):
        queries = jnp.asarray(FEATURES[:5] + 0.5)
        head = HEADS[name]
        assert_gradients_equal_differences(head, FEATURES, TARGETS, WEIGHTS, queries)


@every
def test_only_unlabelled_units_give_finite_outputs_of_no_class(name):
    state = fitted(name, targets=-np.ones(S + U, int))
    assert not state["mask"].any()
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


def test_heads_say_whether_they_take_unlabelled_units():
    assert all(head.takes_unlabelled for head in HEADS.values())
    assert not heads.prototypes(N).takes_unlabelled


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: heads.soft_k_means(N, num_steps=0), "num_steps is 1 or more, got 0"),
        (lambda: heads.label_propagation(N, alpha=1.0), "alpha is from 0 to below 1"),
        (
            lambda: heads.label_propagation(N, num_neighbours=0),
            "num_neighbours is 1 or more, got 0",
        ),
    ],
)
def test_settings_without_meaning_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
