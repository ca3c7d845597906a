"""What an outer step changes."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import tree


class TrainState(NamedTuple):
    """The whole state of meta-training, one checkpoint.

    Attributes:
      step: outer steps taken, int32.
      params: meta-parameters, those that are not trained included.
      opt_state: of the outer optimizer, for what is trained only.
      key: the run's key; each step folds its number in.
    """

    step: jax.Array
    params: Any
    opt_state: optax.OptState
    key: chex.PRNGKey


def create(
    params: optax.Params,
    optimizer: optax.GradientTransformation,
    key: chex.PRNGKey,
    *,
    trains: tree.Where = tree.everything,
) -> TrainState:
    """The state before the first step, on arrays of its own (steps donate it).

    Raises:
      ValueError: if `trains` chooses no parameter.
    """
    params, key = jax.tree.map(jnp.array, (params, key))
    chosen = tree.select(params, trains)
    if tree.is_empty(chosen):
        raise ValueError(
            f"nothing is trained: no parameter matches {trains!r}; they are"
            f" {tree.paths(params)[:4]}, ..."
        )
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(chosen), key)
