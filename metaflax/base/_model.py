"""The protocols of models and their losses."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import optax

from metaflax import tree
from metaflax.base._units import Array, Batch


class InitFn(Protocol):
    """Draws initial parameters.

    Examples:
      >>> import flax.linen as nn
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import tree
      >>> def init_fn(key):
      ...     return nn.Dense(3).init(key, jnp.ones((1, 2)))["params"]
      >>> tree.paths(init_fn(jax.random.key(0)))
      ['bias', 'kernel']
    """

    def __call__(self, key: chex.PRNGKey) -> optax.Params: ...


class ApplyFn(Protocol):
    """A model: `outputs = apply_fn(params, inputs, key)`; no key, no dropout.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> def apply_fn(params, inputs, key=None):
      ...     if key is None:
      ...         return params * inputs
      ...     kept = jax.random.bernoulli(key, 0.5, inputs.shape)
      ...     return params * jnp.where(kept, 2 * inputs, 0)
      >>> print(apply_fn(3.0, jnp.ones(4)))
      [3. 3. 3. 3.]
      >>> print(set(apply_fn(3.0, jnp.ones(99), jax.random.key(0)).tolist()))
      {0.0, 6.0}
    """

    def __call__(
        self, params: Any, inputs: Any, key: chex.PRNGKey | None, /
    ) -> Any: ...


class InContext(NamedTuple):
    """In-context learning: functions that condition a model on a support set.

    Attributes:
      read: `context = read(params, support, key)`, the encoded support set, computed
        once per task, such as keys and values of its tokens.
      apply: `outputs = apply(params, context, inputs, key)`, outputs of queries, each
        of them alone with the context.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> nearest = base.InContext(
      ...     read=lambda params, support, key: support,
      ...     apply=lambda params, support, x, key: support.targets[
      ...         jnp.abs(x[:, None] - support.inputs[None]).argmin(axis=1)
      ...     ],
      ... )
      >>> support = base.Batch(jnp.array([0.0, 1.0]), jnp.array([7, 9]), jnp.ones(2))
      >>> context = nearest.read({}, support, None)
      >>> print(nearest.apply({}, context, jnp.array([0.9, 0.2]), None))
      [9 7]
    """

    read: Callable[[Any, Batch, chex.PRNGKey | None], Any]
    apply: Callable[[Any, Any, Any, chex.PRNGKey | None], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class StagedApply:
    """An `ApplyFn` in stages, of which the first may run ahead of the rest.

    Stages whose parameters no inner step changes need not run at every step: algorithms
    run the leading stages that read no adapted parameter once per task.

    An encoder that treats examples independently may declare so, and then runs on
    support and query together. With any other, such as one with batch normalisation,
    each set is encoded alone, so that nothing of the query set reaches the support set
    and the loss is that of `adapt` and then `predict`.

    Running the stages one by one gives the same result as running all of them at once,
    dropout included if each gets the same key.

    Attributes:
      reads: for each stage, first to last, the paths of the parameters it reads.
      run: `states = run(params, inputs, states, key, first, last)`, the stages from
        number `first` up to and without `last`, on the output of the stage before
        `first` (None if `first` is 0). Leaves of states are `[U, ...]`; the last stage
        gives the outputs. Parameters that none of these stages reads may be absent.
      examples_independent: promises that no row of a state or output depends on the
        inputs of other rows.
      in_context: how the model conditions on a support set; None where it does not.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.base import StagedApply
      >>> def run(params, x, states, key, first, last):
      ...     x = x if first == 0 else states
      ...     for weight in params[first:last]:
      ...         x = weight * x
      ...     return x
      >>> model = StagedApply(("0", "1"), run)
      >>> x, params = jnp.ones(3), [2.0, 5.0]
      >>> below = model.run(params, x, None, None, 0, 1)
      >>> print(model(params, x), model.run(params, x, below, None, 1, 2))
      [10. 10. 10.] [10. 10. 10.]
    """

    reads: tuple[tree.Where, ...]
    run: Callable[[Any, Any, Any, chex.PRNGKey | None, int, int], Any]
    examples_independent: bool = False
    in_context: InContext | None = None

    def __call__(
        self, params: Any, inputs: Any, key: chex.PRNGKey | None = None
    ) -> Any:
        """All stages, from inputs to outputs."""
        return self.run(params, inputs, None, key, 0, len(self.reads))


class LossFn(Protocol):
    """A scalar from outputs: the weighted mean over units with weight above 0.

    It may return `(value, aux)`, where `aux` is any tree of arrays, such as an accuracy
    or new batch statistics that the outputs carry. That of the query loss comes back in
    `MetaInfo.aux`; that of the support loss is dropped.

    Examples:
      >>> import jax.numpy as jnp
      >>> def huber(outputs, targets, weights):
      ...     gaps = jnp.abs(outputs - targets)
      ...     errors = jnp.where(gaps < 1, 0.5 * gaps**2, gaps - 0.5)
      ...     return jnp.sum(weights * errors) / jnp.sum(weights), {"worst": gaps.max()}
      >>> value, aux = huber(jnp.array([0.5, 3.0]), jnp.zeros(2), jnp.ones(2))
      >>> print(value, aux["worst"])
      1.3125 3.0
    """

    def __call__(
        self, outputs: Any, targets: Any, weights: Any, /
    ) -> jax.Array | tuple[jax.Array, Any]: ...


class RowTable(NamedTuple):
    """A parameter table that the model accesses only by row number, as an embedding.

    A model that also uses the whole table, as with a tied output layer, has none.

    Attributes:
      path: path of the table in the meta-parameters.
      numbers: `numbers = numbers(inputs)`, the rows that inputs read, of any shape.
      renumbered: `inputs = renumbered(inputs, numbers)`, the same inputs reading
        those rows instead.
    """

    path: str
    numbers: Callable[[Any], Array]
    renumbered: Callable[[Any, Array], Any]


def split_key(key: chex.PRNGKey | None, num: int = 2) -> list[chex.PRNGKey | None]:
    """Splits a key; None, which means deterministic, stays None.

    Args:
      key: a key, or None.
      num: number of keys to make of it.

    Returns:
      `num` keys, or `num` times None.

    Examples:
      >>> import jax
      >>> from metaflax.base import split_key
      >>> split_key(None)
      [None, None]
      >>> len(split_key(jax.random.key(0), 3))
      3
    """
    return [None] * num if key is None else list(jax.random.split(key, num))
