"""Minibatches of the support set, one for each inner step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.algorithms._micro_batches import without_packing


def minibatches(size: int) -> Callable[[base.Batch, jax.Array], base.Batch]:
    """Makes each inner step use the next examples of the support set, in turn.

    After the last example the first follows again. The order is that of the support
    set, so shuffle it if it is sorted by class; padding counts as an example.

    Args:
      size: number of examples of an inner step; all of them if there are fewer.

    Returns:
      `batch = batch_of_step(support, k)` for `compose`, from leaves `[S, ...]` to
      leaves `[size, ...]`.

    Raises:
      ValueError: if `size` is not positive.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.algorithms import minibatches
      >>> support = base.Batch(jnp.arange(5), jnp.arange(5), jnp.ones(5))
      >>> print(minibatches(2)(support, jnp.array(2)).inputs)
      [4 0]

    References:
      Nichol et al., `On First-Order Meta-Learning Algorithms
      <https://arxiv.org/abs/1803.02999>`_, 2018, where inner steps take minibatches.
    """
    if size < 1:
        raise ValueError(f"a minibatch has one example at least, got size={size}.")

    def batch_of_step(support: base.Batch, step: jax.Array) -> base.Batch:
        support = without_packing(support)
        num_examples = support.weights.shape[0]
        num_taken = min(size, num_examples)
        rows = (step * num_taken + jnp.arange(num_taken)) % num_examples

        def take(x: Any) -> Any:
            return jnp.asarray(x)[rows]

        return jax.tree.map(take, support)

    return batch_of_step
