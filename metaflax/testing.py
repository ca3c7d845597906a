"""Checks for algorithms, including a user's own."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import _checks, base, tree
from metaflax.tree._paths import is_empty

__all__ = [
    "check_meta_gradient",
]


def check_meta_gradient(
    algorithm: base.MetaAlgorithm,
    task: base.Task,
    *,
    params: Any = None,
    key: chex.PRNGKey | None = None,
    step: int | None = None,
    trains: tree.Where = tree.everything,
    num_directions: int = 3,
    spacing: float = 1e-4,
    rtol: float = 1e-6,
) -> None:
    r"""Compares a meta-gradient with float64 central differences.

    Along random directions d of unit length, :math:`\langle g, d \rangle` has to
    equal the derivative of the loss along d, taken from four evaluations with an
    error of fourth order in `spacing`. Only exact estimators pass: those of first
    order, displacement or evolution are no derivatives of the loss.

    Args:
      algorithm: algorithm to check. If it has a computation dtype (as `models.encoder`
        has), that must be float64 for full precision.
      task: one episode, leaves `[S, ...]` and `[Q, ...]`; floats are taken to float64.
      params: where to check; by default `algorithm.init(jax.random.key(0))`.
      key: given to the loss; None is deterministic.
      step: the outer step, given to the loss.
      trains: paths of the parameters to move.
      num_directions: number of directions.
      spacing: spacing of the evaluations.
      rtol: the largest error, relative to the larger of the derivative along d and
        the gradient's norm over the root of the number of parameters, which is what
        a random direction sees of it.

    Raises:
      AssertionError: with both numbers, where they differ.
      ValueError: if `trains` chooses no parameter.

    Examples:
      >>> import jax.numpy as jnp, metaflax, optax
      >>> from metaflax import testing
      >>> squared = lambda out, y, weights: jnp.mean(weights * (out - y) ** 2)
      >>> parts = lambda w, x, key: w * x, squared, lambda key: jnp.ones(())
      >>> batch = metaflax.Batch(jnp.ones(3), 2 * jnp.ones(3), jnp.ones(3))
      >>> task, sgd = metaflax.Task(batch, batch), optax.sgd(0.1)
      >>> testing.check_meta_gradient(metaflax.maml(*parts, sgd), task)
      >>> testing.check_meta_gradient(metaflax.fomaml(*parts, sgd), task)
      Traceback (most recent call last):
        ...
      AssertionError: the meta-gradient along direction 0 is ...
    """
    with jax.enable_x64(True):
        if params is None:
            params = algorithm.init(jax.random.key(0))
        params, task = _doubled(params), _doubled(task)
        trained, rest = tree.partition(params, trains)
        if is_empty(trained):
            raise ValueError(f"nothing to check: no parameter matches {trains!r}.")
        _checks.check_patterns("trains", trains, params)

        @jax.jit
        def value_and_grad(trained):
            def loss(trained):
                return algorithm.loss(tree.merge(trained, rest), task, key, step)

            (value, _), grads = jax.value_and_grad(loss, has_aux=True)(trained)
            return value, grads

        _, grads = value_and_grad(trained)
        size = sum(x.size for x in jax.tree.leaves(trained))
        typical = np.sqrt(_dot(grads, grads) / size)
        for seed in range(num_directions):
            direction = _unit_direction(trained, seed)

            def loss_at(distance, direction=direction):
                moved = jax.tree.map(lambda p, d: p + distance * d, trained, direction)
                return float(value_and_grad(moved)[0])

            near = (loss_at(spacing) - loss_at(-spacing)) / (2 * spacing)
            far = (loss_at(2 * spacing) - loss_at(-2 * spacing)) / (4 * spacing)
            expected = (4 * near - far) / 3  # Richardson: the cubic terms cancel.
            directional = float(_dot(grads, direction))
            error = abs(directional - expected) / max(abs(expected), typical, 1e-300)
            if not error <= rtol:
                raise AssertionError(
                    f"the meta-gradient along direction {seed} is {directional:.12g},"
                    f" differences of the loss give {expected:.12g}: a relative error"
                    f" of {error:.1e}, more than rtol={rtol:.1e}."
                )


def _doubled(values: Any) -> Any:
    return jax.tree.map(
        lambda x: (
            jnp.asarray(x, jnp.float64)
            if jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)
            else x
        ),
        values,
    )


def _dot(first: Any, second: Any) -> float:
    parts = jax.tree.map(lambda a, b: jnp.vdot(a, b), first, second)
    return float(sum(jax.tree.leaves(parts)))


def _unit_direction(point: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    draws = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), point)
    length = np.sqrt(_dot(draws, draws))
    return jax.tree.map(lambda x: x / length, draws)
