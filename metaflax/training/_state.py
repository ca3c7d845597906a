"""State of the outer loop."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, tree
from metaflax.tree._paths import is_empty


class TrainState(NamedTuple):
    """State of meta-training, the content of a checkpoint.

    Attributes:
      step: number of outer steps taken, int32.
      params: meta-parameters, including frozen ones.
      opt_state: state of the outer optimizer, for trained parameters only.
      key: key of the run; each step folds in its number.
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
    """Creates the state before the first step, with copies of the parameters.

    Args:
      params: initial parameters; steps donate the copies, not these.
      optimizer: the outer optimizer.
      key: key of the run.
      trains: paths of the parameters that the outer loop trains.

    Raises:
      ValueError: if `trains`, or a pattern of it, matches no parameter.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import training, tree
      >>> params = {"encoder": jnp.ones(3), "head": jnp.zeros(2)}
      >>> optimizer, key = optax.sgd(0.1, momentum=0.9), jax.random.key(0)
      >>> state = training.create(params, optimizer, key, trains="head")
      >>> print(state.step, len(state.params), tree.paths(state.opt_state))
      0 2 ['0/trace/head']
      >>> training.create(params, optimizer, key, trains="body")
      Traceback (most recent call last):
        ...
      ValueError: nothing is trained: no parameter matches 'body'; they are ...
    """
    params, key = jax.tree.map(jnp.array, (params, key))
    trained = tree.select(params, trains)
    if is_empty(trained):
        raise ValueError(
            f"nothing is trained: no parameter matches {trains!r}; they are"
            f" {tree.paths(params)[:4]}, ..."
        )
    _checks.check_patterns("trains", trains, params)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(trained), key)
