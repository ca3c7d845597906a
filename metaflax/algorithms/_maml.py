"""Model-agnostic meta-learning and its first-order relatives."""

from typing import Any

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer


def maml(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns an initialisation that adapts to a task in a few gradient steps (MAML).

    From meta-parameters :math:`\theta` each task descends its support loss, and
    the outer loop descends the query loss of the adapted parameters:

    .. math::

      \phi_0 = \theta, \qquad
      \phi_{k+1} = \phi_k - \alpha \nabla L_S(\phi_k), \qquad
      g = \nabla_\theta L_Q(\phi_K(\theta)).

    `fomaml` takes :math:`\nabla L_Q(\phi_K)` for g, `reptile`
    :math:`\theta - \phi_K`.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`; no key, no dropout.
      loss_fn: `loss_fn(outputs, targets, weights)`, a scalar: the weighted mean
        over examples.
      init_fn: `params = init_fn(key)`, the initial meta-parameters.
      inner_optimizer: optimizer of the inner loop; its state starts afresh per task.
      head: an output layer of its own above `apply_fn`, which then gives features;
        None where the model has one.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient with respect to theta.

    Returns:
      A `MetaAlgorithm`. Leaves of `support` are `[S, ...]` and of `query`
      `[Q, ...]`; S and Q may differ.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import optax
      >>> from metaflax import base
      >>> from metaflax.algorithms import maml
      >>> import jax, jax.numpy as jnp
      >>> algorithm = maml(
      ...     apply_fn=lambda w, x, key: w * x,
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: jnp.zeros(()),
      ...     inner_optimizer=optax.sgd(0.25),
      ... )
      >>> support = base.Batch(jnp.ones(3), 2 * jnp.ones(3), jnp.ones(3))
      >>> adapted, info = algorithm.adapt(jnp.zeros(()), support, jax.random.key(0))
      >>> print(adapted, info.losses.shape)
      1.9375 (5,)

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep
      Networks <https://arxiv.org/abs/1703.03400>`_, 2017. Reptile: Nichol et al.,
      `On First-Order Meta-Learning Algorithms
      <https://arxiv.org/abs/1803.02999>`_, 2018.
    """
    check_num_steps("maml", num_steps)
    return compose(
        apply_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )


def fomaml(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    **options: Any,
) -> base.MetaAlgorithm:
    r"""First-order MAML: the query gradient at the adapted parameters.

    It ignores how the inner steps depend on the initialisation:
    :math:`g = \nabla_\phi L_Q(\phi_K)`.

    Args:
      apply_fn: as for `maml`.
      loss_fn: as for `maml`.
      init_fn: as for `maml`.
      inner_optimizer: optimizer of the inner loop; it may be any, since nothing is
        differentiated through it.
      **options: `head`, `adapts` and `num_steps` of `maml`.

    Returns:
      A `MetaAlgorithm`, as `maml` with `estimators.first_order`.

    Raises:
      ValueError: as `maml`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> squared = lambda out, y, weights: jnp.mean(weights * (out - y) ** 2)
      >>> parts = lambda w, x, key: w * x, squared, lambda key: jnp.zeros(())
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> task = metaflax.Task(batch, batch)
      >>> for factory in metaflax.maml, metaflax.fomaml:
      ...     algorithm = factory(*parts, optax.sgd(0.25), num_steps=1)
      ...     print(jax.grad(algorithm.loss, has_aux=True)(jnp.zeros(()), task)[0])
      -1.0
      -2.0

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep
      Networks <https://arxiv.org/abs/1703.03400>`_, 2017, section 5.2.
    """
    check_num_steps("fomaml", options.get("num_steps", 5))
    options = {"estimator": estimators.first_order, **options}
    return maml(apply_fn, loss_fn, init_fn, inner_optimizer, **options)


def reptile(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    **options: Any,
) -> base.MetaAlgorithm:
    r"""Moves the initialisation towards the adapted parameters of each task (Reptile).

    The meta-gradient is the displacement :math:`g = \theta - \phi_K`; the query set is
    only scored.

    Args:
      apply_fn: as for `maml`.
      loss_fn: as for `maml`.
      init_fn: as for `maml`.
      inner_optimizer: optimizer of the inner loop.
      **options: `head`, `adapts` and `num_steps` of `maml`.

    Returns:
      A `MetaAlgorithm`, as `maml` with `estimators.displacement`.

    Raises:
      ValueError: as `maml`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> squared = lambda out, y, weights: jnp.mean(weights * (out - y) ** 2)
      >>> parts = lambda w, x, key: w * x, squared, lambda key: jnp.zeros(())
      >>> algorithm = metaflax.reptile(*parts, optax.sgd(0.25), num_steps=2)
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> task, start = metaflax.Task(batch, batch), jnp.zeros(())
      >>> adapted, _ = algorithm.adapt(start, batch)
      >>> print(adapted, jax.grad(algorithm.loss, has_aux=True)(start, task)[0])
      1.5 -1.5

    References:
      Nichol et al., `On First-Order Meta-Learning Algorithms
      <https://arxiv.org/abs/1803.02999>`_, 2018.
    """
    check_num_steps("reptile", options.get("num_steps", 5))
    options = {"estimator": estimators.displacement, **options}
    return maml(apply_fn, loss_fn, init_fn, inner_optimizer, **options)


MAML = AlgorithmSpec(with_inner_optimizer(maml), may_learn_rates=True)
FOMAML = AlgorithmSpec(with_inner_optimizer(fomaml), may_learn_rates=True)
REPTILE = AlgorithmSpec(with_inner_optimizer(reptile))
