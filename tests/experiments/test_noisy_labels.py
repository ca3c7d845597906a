"""The experiment on noisy labels in miniature."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import base, estimators, testing
from tests.experiments import scripts

pytestmark = scripts.marks


@pytest.fixture
def script():
    return scripts.load("noisy_labels")


def test_only_the_labels_of_the_noisy_set_are_flipped(script):
    noisy, right = (script.draw_world(3, share) for share in (0.4, 0.0))
    assert 0.35 < noisy.flipped.mean() < 0.45
    differ = np.asarray(noisy.task.support.targets != right.task.support.targets)
    np.testing.assert_array_equal(differ, noisy.flipped)
    chex.assert_trees_all_equal(noisy.task.query, right.task.query)
    chex.assert_trees_all_equal(noisy.test, right.test)


@pytest.mark.slow
def test_learned_weights_tell_wrong_labels_and_help(script):
    learner = script.weighting(estimators.mixed_mode)
    world = script.draw_world(0, 0.4)
    weigher, _ = script.trainer(learner, 20)(world.task, jax.random.key(0))
    accuracies = script.compare(learner, weigher, world, seed=0)
    learned, uniform = list(accuracies.values())[:2]
    assert learned > uniform + 0.02
    adapt = jax.jit(learner.adapt)
    classifier, _ = adapt(weigher, world.task.support, jax.random.key(5))
    losses = script.cross_entropies(classifier, world.task.support)
    weights = np.asarray(script.weight_of(weigher, losses))
    assert weights[~world.flipped].mean() > 2 * weights[world.flipped].mean()


def test_the_gradient_of_one_inner_step_is_exact(script, monkeypatch):
    # With more steps it is not: the dependence of weights on the classifier is ignored.
    monkeypatch.setattr(script, "NUM_STEPS", 1)
    monkeypatch.setattr(script, "OPTIMIZER", optax.sgd(0.1))
    inputs = jax.random.normal(jax.random.key(0), (6, 64))
    batch = base.Batch(inputs, jnp.arange(6), jnp.ones(6))
    learner = script.weighting(estimators.mixed_mode)
    testing.check_meta_gradient(
        learner, base.Task(batch, batch), key=jax.random.key(1), num_directions=1
    )
