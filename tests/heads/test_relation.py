"""Tests for the learned comparison of relation networks."""

import chex
import jax
import numpy as np
import pytest

from metaflax import heads

D, N, H = 3, 2, 4


def test_the_score_is_a_network_on_class_mean_and_feature_side_by_side():
    head = heads.relation(D, N, num_hidden=H)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32),
        head.init(jax.random.key(0)),
    )
    features = rng.normal(size=(3, D)).astype(np.float32)
    state = head.fit(params, features, np.array([0, 1, 1]), np.ones(3, np.float32))
    query = rng.normal(size=(1, D)).astype(np.float32)
    kernel = np.concatenate([params["class_kernel"], params["unit_kernel"]])  # [2D, H]
    expected = []
    for mean in (features[0], features[1:].mean(0)):
        pair = np.concatenate([mean, query[0]])
        hidden = np.maximum(pair @ kernel + params["hidden_bias"], 0)
        expected.append(hidden @ params["score_kernel"] + params["score_bias"])
    chex.assert_trees_all_close(
        np.asarray(head.apply(state, query).logits), np.stack([expected]), rtol=1e-4
    )


def test_the_first_layer_begins_with_the_deviation_of_one_layer_on_the_pair():
    params = heads.relation(200, N, num_hidden=100).init(jax.random.key(0))
    for name in ("class_kernel", "unit_kernel"):
        np.testing.assert_allclose(np.std(params[name]), (2 / 400) ** 0.5, rtol=0.03)
    assert np.all(np.asarray(params["hidden_bias"]) == 0)


def test_a_network_without_hidden_units_is_refused():
    with pytest.raises(ValueError, match="num_hidden is 1 or more, got 0"):
        heads.relation(D, N, num_hidden=0)
