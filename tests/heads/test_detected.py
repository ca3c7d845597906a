"""Tests for the detection of entities beside types, a regression around a prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

U, D, N = 12, 3, 4
rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(U, D))
INPUTS = np.append(FEATURES, np.ones((U, 1)), axis=1)
TARGETS = np.array([0, 1, 2, 3, 3, 3, 0, 1, 3, 3, 2, 1])  # 3 is in no entity.
WEIGHTS = np.array([1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 0], float)
ENTITIES = TARGETS < 3
START = np.array([0.3, -0.2, 0.5, -0.7])  # Kernel and bias.


def made(strength=0.5, start=START, temperature=0.5, inner=heads.prototypes):
    head = heads.detected(inner(N), D, N, strength=strength)
    params = head.init(jax.random.key(0))
    types = {name: jnp.log(temperature) for name in params["types"]}
    start = {"kernel": jnp.asarray(start[:-1]), "bias": jnp.asarray(start[-1])}
    return head, {**params, **start, "types": types}


def fitted(targets=TARGETS, **settings):
    with jax.enable_x64(True):
        head, params = made(**settings)
        state = head.fit(params, jnp.asarray(FEATURES), targets, jnp.asarray(WEIGHTS))
        return jax.tree.map(np.asarray, state)


def detector(state):
    return -np.append(state["kernel"][:, -1], state["bias"][-1])


def of_types(state):
    return FEATURES @ state["kernel"][:, :-1] + state["bias"][:-1]


def test_where_all_types_are_alike_it_is_the_regression_of_scikit_learn():
    # The types then add log(3), the log of their number, to the log-odds of entities.
    start = np.array([0, 0, 0, -np.log(3.0)])
    state = fitted(start=start, temperature=1e-12)
    expected = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10)
    expected.fit(INPUTS, ENTITIES, sample_weight=WEIGHTS)
    found = detector(state) - start
    np.testing.assert_allclose(found, expected.coef_[0], rtol=1e-4, atol=1e-6)


def test_the_slope_around_any_start_is_zero():
    state = fitted()
    odds = INPUTS @ detector(state) + logsumexp(of_types(state), axis=-1)
    slope = INPUTS.T @ (WEIGHTS * (expit(odds) - ENTITIES))
    np.testing.assert_allclose(
        slope + 0.5 * (detector(state) - START), np.zeros(D + 1), atol=1e-6
    )


def test_a_large_strength_keeps_the_learned_start():
    np.testing.assert_allclose(detector(fitted(strength=1e6)), START, atol=1e-4)


def test_types_are_those_of_the_words_in_entities_alone():
    counts = ENTITIES & (WEIGHTS > 0)
    head = heads.prototypes(N - 1, temperature=0.5)
    with jax.enable_x64(True):
        alone = head.fit(
            head.init(None), jnp.asarray(FEATURES[counts]), TARGETS[counts], np.ones(6)
        )
    state = fitted()
    np.testing.assert_allclose(state["kernel"][:, :-1], alone["kernel"], rtol=1e-6)
    np.testing.assert_allclose(state["bias"][:-1], alone["bias"], rtol=1e-6)


def test_renaming_types_permutes_them_and_leaves_none_in_its_place():
    rename = np.array([2, 0, 1, 3])
    renamed = fitted(targets=rename[TARGETS])
    np.testing.assert_allclose(
        renamed["kernel"][:, rename], fitted()["kernel"], rtol=1e-6
    )


@pytest.mark.parametrize("inner", [heads.prototypes, heads.ridge])
def test_the_gradient_equals_differences(inner):
    with jax.enable_x64(True):
        head, params = made(inner=inner)
        assert_gradients_equal_differences(
            head._replace(init=lambda key: params),
            *map(jnp.asarray, (FEATURES, TARGETS, WEIGHTS, FEATURES[:5] + 0.3)),
        )


def test_its_start_is_learned_from_a_share_of_words_in_entities():
    params = heads.detected(heads.prototypes(N), D, N, rate=0.25).init(None)
    np.testing.assert_allclose(params["bias"], -np.log(3.0), rtol=1e-6)
    assert set(params) == {"bias", "kernel", "log_strength", "types"}
    assert set(params["types"]) == {"log_temperature"}


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match=f"share between 0 and 1, got {rate}"):
        heads.detected(heads.prototypes(N), D, N, rate=rate)


@pytest.mark.parametrize("head", [heads.label_prototypes(N), heads.nearest(N)])
def test_a_head_that_is_no_linear_layer_of_classes_is_refused(head):
    with pytest.raises(ValueError, match="one class a unit whose state is a linear"):
        heads.detected(head, D, N)
