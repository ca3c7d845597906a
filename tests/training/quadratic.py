"""An algorithm whose outer loop is a noisy descent of (w - target)^2 / 2."""

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, training

NUM_TASKS = 2
PARAMS = {
    "encoder": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
    "head": {"bias": jnp.ones(2)},
}


def _loss(params, task, key=None, step=None):
    del step
    noise = 0.0 if key is None else jax.random.normal(key)
    target = task.query.targets
    leaves = jax.tree.leaves(params)
    value = sum(0.5 * jnp.sum((leaf - target + noise) ** 2) for leaf in leaves)
    return value, base.MetaInfo(jnp.zeros(1), value)


ALGORITHM = base.MetaAlgorithm(
    init=lambda key: PARAMS, adapt=None, predict=None, loss=_loss
)


def tasks(*targets):
    """A batch of tasks, one per target."""
    targets = np.asarray(targets, np.float32)
    weights = np.ones((len(targets), 1), np.float32)
    part = base.Batch(np.zeros_like(targets), targets, weights)
    return base.Task(part, part)


def tasks_from(step):
    """Batches of two tasks that depend on the step."""
    while True:
        step += 1
        yield tasks(step, -0.5 * step)


def state(optimizer, *, seed=0, trains="*"):
    return training.create(PARAMS, optimizer, jax.random.key(seed), trains=trains)
