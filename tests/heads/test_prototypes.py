"""Tests for class means as output layers: linear forms equal squared distances."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads

TAU, N, D = 0.7, 4, 3
rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(6, D)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 0, 1, 3])
WEIGHTS = np.array([1, 1, 1, 1, 1, 0], np.float32)  # Class 3 is padding only.
QUERIES = rng.normal(size=(5, D)).astype(np.float32)


def fitted(head, targets=TARGETS, weights=WEIGHTS):
    return head.fit(head.init(jax.random.key(0)), FEATURES, targets, weights)


def distances(mean):
    return ((QUERIES - mean) ** 2).sum(-1)


def test_probabilities_are_a_softmax_over_squared_distances():
    head = heads.prototypes(N, temperature=TAU)
    outputs = head.apply(fitted(head), QUERIES)
    means = [FEATURES[np.equal(TARGETS, n) & (WEIGHTS > 0)].mean(0) for n in range(3)]
    expected = jax.nn.softmax(-TAU * np.stack([distances(m) for m in means], -1))
    chex.assert_trees_all_close(
        jax.nn.softmax(outputs.logits)[:, :3], expected, rtol=1e-5
    )


def test_a_class_with_padding_only_is_absent_and_gets_nothing():
    head = heads.prototypes(N)
    outputs = head.apply(fitted(head), QUERIES)
    assert outputs.mask.tolist() == [True, True, True, False]
    assert np.all(np.asarray(jax.nn.softmax(outputs.logits))[:, 3] == 0)


def test_one_head_serves_tasks_of_any_way_under_vmap():
    head = heads.prototypes(N)
    targets = np.stack([TARGETS, np.zeros(6, int), TARGETS % 2])
    states = jax.vmap(lambda t: fitted(head, t))(targets)
    assert states["mask"].sum(-1).tolist() == [3, 1, 2]
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[2], states), fitted(head, targets[2]), rtol=1e-6
    )


def test_a_labels_logit_is_how_much_nearer_those_that_have_it_are():
    head = heads.label_prototypes(2, temperature=TAU)
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [1, 0], [1, 1]])
    outputs = head.apply(fitted(head, labels), QUERIES)
    counts = WEIGHTS > 0
    has = FEATURES[counts & (labels[:, 0] == 1)].mean(0)
    lacks = FEATURES[counts & (labels[:, 0] == 0)].mean(0)
    chex.assert_trees_all_close(
        outputs.logits[:, 0],
        TAU * (distances(lacks) - distances(has)),
        rtol=1e-4,
        atol=1e-5,
    )
    assert outputs.mask.tolist() == [True, False]  # The second: in padding only.


@pytest.mark.parametrize("factory", [heads.prototypes, heads.label_prototypes])
def test_the_temperature_is_learned_on_a_log_scale(factory):
    params = factory(N, temperature=TAU).init(jax.random.key(0))
    chex.assert_trees_all_close(params, {"log_temperature": jnp.log(TAU)})


@pytest.mark.parametrize("factory", [heads.prototypes, heads.label_prototypes])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(factory, temperature):
    with pytest.raises(ValueError, match=f"above 0, got {temperature}"):
        factory(N, temperature=temperature)


@pytest.mark.parametrize(
    "head", [heads.prototypes(N), heads.label_prototypes(N), heads.linear(D, N)]
)
def test_another_number_of_labels_is_refused_with_both(head):
    with pytest.raises(ValueError, match="head has 4 classes, targets have 5"):
        fitted(head, np.zeros((6, 5), int))


def test_kinds_of_targets_are_told_apart():
    assert heads.prototypes(N).serves == {"classes"}
    assert heads.label_prototypes(N).serves == {"labels"}
    assert heads.linear(D, N).serves == {"classes", "labels"}
