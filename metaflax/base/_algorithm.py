"""The protocols of meta-learning algorithms."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.export
import jax.numpy as jnp
import optax

from metaflax.base._model import InitFn
from metaflax.base._units import Batch, ClassOutputs, Task


def diverged(losses: jax.Array) -> jax.Array:
    """Tells whether inner steps raised a loss or made it non-finite.

    Args:
      losses: `[..., K]`, the loss before each inner step.

    Returns:
      bool `[...]`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.base import diverged
      >>> print(diverged(jnp.array([[2.0, 1.0], [2.0, 3.0], [2.0, jnp.nan]])))
      [False  True  True]
    """
    if losses.shape[-1] < 2:
        return jnp.zeros(losses.shape[:-1], bool)
    lost = ~jnp.isfinite(losses).all(axis=-1)
    return lost | (losses[..., -1] > losses[..., 0])


class InnerInfo(NamedTuple):
    """Diagnostics of one adaptation.

    Attributes:
      losses: `[K]`, the support loss before each inner step.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> print(base.InnerInfo(jnp.array([0.7, 0.9])).diverged)
      True
    """

    losses: jax.Array

    @property
    def diverged(self) -> jax.Array:
        """Whether the support loss rose or became non-finite; bool `[]`."""
        return diverged(self.losses)


class MetaInfo(NamedTuple):
    """Diagnostics of one meta-gradient.

    Attributes:
      losses: `[K]`, the support loss before each inner step.
      query_loss: the query loss after the last inner step.
      aux: what the query loss returned beside its value, without a derivative; an
        empty tuple where it returned a value alone.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> info = base.MetaInfo(jnp.array([0.7, 0.2]), jnp.array(0.3), {"accuracy": 0.9})
      >>> print(info.diverged, info.aux["accuracy"])
      False 0.9
    """

    losses: jax.Array
    query_loss: jax.Array
    aux: Any = ()

    @property
    def diverged(self) -> jax.Array:
        """Whether the support loss rose or became non-finite; bool `[]`."""
        return diverged(self.losses)


# Types in the signature of a program that `jax.export` serialises.
for _kind in (Batch, Task, ClassOutputs, InnerInfo, MetaInfo):
    jax.export.register_namedtuple_serialization(
        _kind, serialized_name=f"metaflax.{_kind.__name__}"
    )


class AdaptFn(Protocol):
    """Learns from a support set: `adapted, info = adapt(params, support, key)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> def adapt(params, support, key=None):
      ...     return support.targets.mean(), base.InnerInfo(jnp.zeros(0))
      >>> adapted, info = adapt({}, base.Batch((), jnp.array([1.0, 3.0]), jnp.ones(2)))
      >>> print(adapted, info.diverged)
      2.0 False
    """

    def __call__(
        self, params: Any, support: Batch, key: chex.PRNGKey | None = None
    ) -> tuple[Any, InnerInfo]: ...


class PredictFn(Protocol):
    """Predicts outputs for inputs, given the adapted state.

    Examples:
      >>> import jax.numpy as jnp
      >>> def predict(params, adapted, inputs, key=None):
      ...     return params["slope"] * inputs + adapted["bias"]
      >>> print(predict({"slope": 2.0}, {"bias": 1.0}, jnp.array([0.0, 1.0])))
      [1. 3.]
    """

    def __call__(
        self, params: Any, adapted: Any, inputs: Any, key: chex.PRNGKey | None = None
    ) -> Any: ...


class MetaLossFn(Protocol):
    """The query loss, whose `jax.grad` is the estimator's meta-gradient.

    `step` counts outer steps, for what changes as training goes on (the order of
    the derivative, the weights of inner steps); None stands for the end of it.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import base
      >>> def loss(params, task, key=None, step=None):
      ...     adapted = params + task.support.targets.mean()
      ...     value = jnp.mean((task.query.targets - adapted) ** 2)
      ...     return value, base.MetaInfo(jnp.zeros(0), value)
      >>> batch = base.Batch((), jnp.array([1.0, 3.0]), jnp.ones(2))
      >>> print(jax.grad(loss, has_aux=True)(0.5, base.Task(batch, batch))[0])
      1.0
    """

    def __call__(
        self,
        params: Any,
        task: Task,
        key: chex.PRNGKey | None = None,
        step: jax.Array | int | None = None,
    ) -> tuple[jax.Array, Any]: ...


class FewRows(NamedTuple):
    """An algorithm's loss on only the table rows that a task uses.

    Attributes:
      path: path of the table in the meta-parameters; None for no table.
      read: `rows, task = read(params, task)`: the numbers `[U]` of the rows that the
        task uses, ascending and padded with numbers beyond the last row, and the task
        with these rows renumbered from 0 to U - 1. Only the shape of the table matters.
      loss: a `MetaLossFn`, on parameters with those rows in place of the table.
    """

    path: str | None
    read: Callable[[Any, Task], tuple[jax.Array | None, Task]]
    loss: MetaLossFn


class InnerLoop(NamedTuple):
    """The inner loop of an algorithm, for wrappers of the algorithm.

    Attributes:
      optimizer: optimizer of the inner steps.
      num_steps: number of inner steps K.
      adapts: whether inner steps change the leaf at a path.
    """

    optimizer: "optax.GradientTransformation | InnerOptimizer"
    num_steps: int
    adapts: Callable[[str], bool]


class MetaAlgorithm(NamedTuple):
    """A meta-learning algorithm as four pure functions of one task.

    Attributes:
      init: `params = init(key)`, the meta-parameters the outer loop learns.
      adapt: `adapted, info = adapt(params, support, key)`; `adapted` holds only what
        differs between tasks, so that they share all else.
      predict: `outputs = predict(params, adapted, inputs, key)`.
      loss: `value, info = loss(params, task, key, step)`, the query loss; its
        gradient is the meta-gradient as the algorithm's estimator takes it. `info`
        has at least the fields of `MetaInfo`.
      few_rows: the same loss on only the table rows that a task uses, set by
        `compact_rows`; `metaflax.value_and_grad` then computes no gradient of the whole
        table per task.
      inner: the inner loop; None if it is unknown.
      resume: `adapted, info = resume(params, adapted, support, key)`, takes as many
        further inner steps from an adapted state, on the same support set or another,
        with a new optimizer state; None if that is not possible.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> def adapt(params, support, key=None):
      ...     return support.targets.mean(), base.InnerInfo(jnp.zeros(0))
      >>> def predict(params, adapted, inputs, key=None):
      ...     return params + adapted + 0 * inputs
      >>> def loss(params, task, key=None, step=None):
      ...     adapted, info = adapt(params, task.support, key)
      ...     outputs = predict(params, adapted, task.query.inputs, key)
      ...     value = jnp.mean((outputs - task.query.targets) ** 2)
      ...     return value, base.MetaInfo(info.losses, value)
      >>> algorithm = base.MetaAlgorithm(lambda key: 0.0, adapt, predict, loss)
      >>> batch = base.Batch(jnp.ones(2), jnp.array([1.0, 3.0]), jnp.ones(2))
      >>> print(algorithm.loss(algorithm.init(None), base.Task(batch, batch))[0])
      1.0
    """

    init: InitFn
    adapt: AdaptFn
    predict: PredictFn
    loss: MetaLossFn
    few_rows: FewRows | None = None
    inner: InnerLoop | None = None
    resume: Callable[..., tuple[Any, InnerInfo]] | None = None


class InnerOptimizer(NamedTuple):
    """An inner optimizer with hyperparameters that the outer loop learns.

    Attributes:
      init: `hyper = init(key, fast)`, from the shapes and types of the adapted
        parameters.
      make: `optimizer = make(hyper)`, an optax transformation on trees like `fast`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import base
      >>> learned_momentum = base.InnerOptimizer(
      ...     init=lambda key, fast: {"momentum": jnp.array(0.25)},
      ...     make=lambda hyper: optax.sgd(0.25, hyper["momentum"]),
      ... )
      >>> algorithm = metaflax.maml(
      ...     lambda params, x, key: params["w"] * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: {"w": jnp.zeros(())},
      ...     learned_momentum,
      ...     num_steps=2,
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> params, task = algorithm.init(jax.random.key(0)), metaflax.Task(batch, batch)
      >>> grads, _ = jax.grad(algorithm.loss, has_aux=True)(params, task)
      >>> print(grads["inner"]["momentum"])
      -0.5
    """

    init: Callable[[chex.PRNGKey, Any], Any]
    make: Callable[[Any], optax.GradientTransformation]
