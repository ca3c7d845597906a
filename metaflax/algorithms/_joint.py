"""Joint training on all tasks, then fine-tuning."""

import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, base, tree
from metaflax.algorithms._baselines import fine_tuning
from metaflax.algorithms._compose import check_num_steps
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer
from metaflax.base._units import concatenate


def joint(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    adapts: tree.Where = tree.everything,
    num_steps: int = 20,
) -> base.MetaAlgorithm:
    """Trains one model on the examples of all tasks and fine-tunes it on a new task.

    The outer loop descends the loss of support and query together, without an inner
    loop. It needs an output layer that means the same in every task, as those of
    language models, of numbers and of answers do; see `multi_task` for classes.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, ...]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's parameters.
      inner_optimizer: fine-tunes, each step on the whole support set.
      head: the output layer.
      adapts: parameters to fine-tune.
      num_steps: number of steps K.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import algorithms, base, heads, losses
      >>> algorithm = algorithms.joint(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.squared_error,
      ...     init_fn=lambda key: jnp.zeros(()),
      ...     inner_optimizer=optax.sgd(0.25),
      ...     head=heads.identity(),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = base.Batch(jnp.ones(1), jnp.ones(1), jnp.ones(1))
      >>> query = base.Batch(jnp.ones(1), 3 * jnp.ones(1), jnp.ones(1))
      >>> value, _ = algorithm.loss(params, base.Task(support, query))
      >>> print(value)
      5.0

    References:
      Dou et al., `Investigating Meta-Learning Algorithms for Low-Resource Natural
      Language Understanding Tasks <https://arxiv.org/abs/1908.10423>`_, 2019, where it
      is the baseline.
    """
    check_num_steps("joint", num_steps)
    tuned = fine_tuning(
        encode_fn,
        loss_fn,
        init_fn,
        inner_optimizer,
        head=head,
        adapts=adapts,
        num_steps=num_steps,
    )

    def loss(params, task, key=None, step=None):
        del step
        support, query = map(_checks.finite_padding, task)
        inputs = concatenate(support.inputs, query.inputs)
        targets = jnp.concatenate([support.targets, query.targets])
        weights = jnp.concatenate([support.weights, query.weights])
        features = encode_fn(params["encoder"], inputs, key)
        state = head.fit(params["head"], features, targets, weights)
        result = loss_fn(head.apply(state, features), targets, weights)
        value, aux = _checks.with_aux(result)
        info = base.MetaInfo(jnp.zeros(0), value, aux)
        return value, jax.lax.stop_gradient(info)

    return tuned._replace(loss=loss)


JOINT = AlgorithmSpec(with_inner_optimizer(joint), may_learn_rates=True)
