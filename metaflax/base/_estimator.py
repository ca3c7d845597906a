"""The protocol of estimators, and the inner problem that they differentiate through."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax.base._algorithm import MetaLossFn
from metaflax.base._units import Batch


class InnerProblem(NamedTuple):
    """Objective of adaptation, whose functions close over no differentiated value.

    Attributes:
      start: `fast, fixed = start(params, support, key)`: initial values of the adapted
        parameters, and everything else that the inner loss reads. Values that no inner
        step changes (such as features, if only the head adapts) are computed here,
        once.
      loss: `loss(fast, fixed, support, key)`, the scalar support loss.
      optimizer: an optax transformation, or `optimizer(params)` where its
        hyperparameters are learned.
      num_steps: inner steps K, 0 or more.
      finish: `adapted = finish(fast, fixed)`, what prediction needs of the two.
      proximal: weight of the proximal term: `proximal / 2` times the squared distance
        of `fast` from its start is added to the inner loss.
      query_weights: `weights = query_weights(step)`, `[K]`, how much the query loss
        after each inner step counts at an outer step; None for the last alone.
      batch_of_step: `batch = batch_of_step(support, k)`, the examples of inner step k
        out of the support set; None for all of them at every step.

    Examples:
      >>> import jax.numpy as jnp, optax
      >>> from metaflax import base, inner
      >>> problem = base.InnerProblem(
      ...     start=lambda params, support, key: (
      ...         params["bias"],
      ...         params["slope"] * support.inputs,  # Once, before the first step.
      ...     ),
      ...     loss=lambda bias, below, support, key: jnp.mean(
      ...         (below + bias - support.targets) ** 2
      ...     ),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=2,
      ... )
      >>> support = base.Batch(jnp.ones(1), jnp.array([3.0]), jnp.ones(1))
      >>> params = {"bias": jnp.zeros(()), "slope": jnp.ones(())}
      >>> print(inner.solve(problem, params, support).fast)
      1.5
    """

    start: Callable[[Any, Batch, chex.PRNGKey | None], tuple[Any, Any]]
    loss: Callable[[Any, Any, Batch, chex.PRNGKey | None], jax.Array]
    optimizer: (
        optax.GradientTransformation | Callable[[Any], optax.GradientTransformation]
    )
    num_steps: int
    finish: Callable[[Any, Any], Any] = lambda fast, fixed: fast
    proximal: float = 0.0
    query_weights: Callable[[jax.Array], jax.Array] | None = None
    batch_of_step: Callable[[Batch, jax.Array], Batch] | None = None


class QueryLossFn(Protocol):
    """The query loss of an adapted task, a scalar or `(value, aux)` as in `LossFn`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> def query_loss(params, adapted, query, key):
      ...     return jnp.mean((adapted - query.targets) ** 2) + 0.5 * params**2
      >>> loss = estimators.reverse(problem, query_loss)
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> value, info = loss(jnp.array(4.0), base.Task(batch, batch))
      >>> print(value)
      9.0
    """

    def __call__(
        self, params: Any, adapted: Any, query: Batch, key: chex.PRNGKey | None, /
    ) -> jax.Array | tuple[jax.Array, Any]: ...


class Estimator(Protocol):
    """Makes the loss whose gradient estimates the meta-gradient.

    An estimator that evaluates the loss at meta-parameters other than the given ones is
    marked by `moving_params`, so that nothing, such as features of the task's texts, is
    computed from the given ones beforehand.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import estimators
      >>> def halved(problem, query_loss):
      ...     exact = estimators.reverse(problem, query_loss)
      ...     def loss(params, task, key=None, step=None):
      ...         value, info = exact(params, task, key, step)
      ...         constant = jax.lax.stop_gradient(value)
      ...         return 0.5 * value + 0.5 * constant, info
      ...     return loss
      >>> algorithm = metaflax.maml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ...     num_steps=1,
      ...     estimator=halved,
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> value_and_grad = jax.value_and_grad(algorithm.loss, has_aux=True)
      >>> (value, _), grad = value_and_grad(jnp.zeros(()), metaflax.Task(batch, batch))
      >>> print(value, grad)
      1.0 -0.5
    """

    def __call__(
        self, problem: InnerProblem, query_loss: QueryLossFn, /
    ) -> MetaLossFn: ...


def moving_params(estimator: Estimator) -> Estimator:
    """Marks an estimator that evaluates the loss at other meta-parameters."""
    marked: Any = estimator
    marked.moves_params = True
    return marked


def moves_params(estimator: Estimator) -> bool:
    """Returns whether an estimator is marked by `moving_params`."""
    return getattr(estimator, "moves_params", False)


def outer_step(step: jax.Array | int | None) -> jax.Array:
    """The outer step as an int32; None, the end of training, is the largest."""
    last = jnp.iinfo(jnp.int32).max
    return jnp.asarray(last if step is None else step, jnp.int32)
