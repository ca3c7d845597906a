"""The protocols of models, losses and meta-learning algorithms."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.export
import jax.numpy as jnp
import optax

from metaflax import tree
from metaflax.base._units import Array, Batch, ClassOutputs, Task


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
      query_loss: the query loss after the last.
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


# What crosses the boundary of a program that `jax.export` serialises.
for _kind in (Batch, Task, ClassOutputs, InnerInfo, MetaInfo):
    jax.export.register_namedtuple_serialization(
        _kind, serialized_name=f"metaflax.{_kind.__name__}"
    )


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
    """How a model conditions on a support set, without a gradient step.

    Attributes:
      read: `context = read(params, support, key)`, what the model makes of the support
        set once a task, such as keys and values of its tokens.
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

    What no inner step changes need not run at every step: algorithms that know the
    stages run the first of them once a task, as far as none reads a parameter that
    adapts.

    An encoder that treats each example by itself may say so, and then runs on support
    and query together. Of any other, such as one with batch normalisation, each set
    is encoded alone, so that nothing of the query set reaches the support set and the
    loss is that of `adapt` and then `predict`.

    Stages run one after the other give what all of them give at once, dropout
    included if each is given the same key.

    Attributes:
      reads: for each stage, first to last, the paths of the parameters it reads.
      run: `states = run(params, inputs, states, key, first, last)`, the stages from
        number `first` up to and without `last`, on what the stage before `first`
        gave (None where `first` is 0). Leaves of states are `[U, ...]`; the last
        stage gives the outputs. Parameters that none of these stages reads may be
        absent.
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


class RowTable(NamedTuple):
    """A parameter table that the model accesses only by row number, as an embedding.

    A model that also uses the whole table, as with a tied output layer, has none.

    Attributes:
      path: of the table among the meta-parameters.
      numbers: `numbers = numbers(inputs)`, the rows that inputs read, of any shape.
      renumbered: `inputs = renumbered(inputs, numbers)`, the same inputs reading
        those rows instead.
    """

    path: str
    numbers: Callable[[Any], Array]
    renumbered: Callable[[Any, Array], Any]


class FewRows(NamedTuple):
    """An algorithm's loss on only the table rows that a task uses.

    Attributes:
      path: of the table among the meta-parameters; None for no table.
      read: `rows, task = read(params, task)`: numbers of rows `[U]`, rising, beyond
        the last where the task reads fewer than U, and the task that reads rows 0 to
        U - 1 in their place. Of the table only the shape is looked at.
      loss: a `MetaLossFn`, on parameters with those rows in place of the table.
    """

    path: str | None
    read: Callable[[Any, Task], tuple[jax.Array | None, Task]]
    loss: MetaLossFn


class InnerLoop(NamedTuple):
    """The inner loop of an algorithm, for wrappers of the algorithm.

    Attributes:
      optimizer: takes them.
      num_steps: how many.
      adapts: whether they change the leaf at a path.
    """

    optimizer: "optax.GradientTransformation | InnerOptimizer"
    num_steps: int
    adapts: Callable[[str], bool]


class MetaAlgorithm(NamedTuple):
    """A meta-learning algorithm as four pure functions of one task.

    Attributes:
      init: `params = init(key)`, the meta-parameters the outer loop learns.
      adapt: `adapted, info = adapt(params, support, key)`; `adapted` holds only
        what the task made, so that many tasks share what they did not change.
      predict: `outputs = predict(params, adapted, inputs, key)`.
      loss: `value, info = loss(params, task, key, step)`, the query loss; its
        gradient is the meta-gradient as the algorithm's estimator takes it. `info`
        has at least the fields of `MetaInfo`.
      few_rows: the same loss on the rows of a table that a task reads, where
        `compact_rows` gave it one; `metaflax.value_and_grad` then never makes a
        gradient of the whole table for a task.
      inner: its inner loop; None where it is not stated.
      resume: `adapted, info = resume(params, adapted, support, key)`, as many inner
        steps more from an adapted state, on the same support set or another, with a
        new optimizer state; None where there are no steps to go on with.

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
      init: `hyper = init(key, fast)`, from what adapts, in shapes and types.
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


def split_key(key: chex.PRNGKey | None, num: int = 2) -> list[chex.PRNGKey | None]:
    """Splits a key; None, which means deterministic, stays None.

    Args:
      key: a key, or None.
      num: number of keys to make of it.

    Returns:
      `num` keys, or as many times None.

    Examples:
      >>> import jax
      >>> from metaflax.base import split_key
      >>> split_key(None)
      [None, None]
      >>> len(split_key(jax.random.key(0), 3))
      3
    """
    return [None] * num if key is None else list(jax.random.split(key, num))
