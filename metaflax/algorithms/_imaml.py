"""MAML with implicit gradients at the minimum of the inner loop (iMAML)."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer


def imaml(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation,
    *,
    proximal: float = 1.0,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 16,
    estimator: base.Estimator | None = None,
) -> base.MetaAlgorithm:
    r"""Learns an initialisation for proximally regularised adaptation (iMAML).

    .. math::

      \phi^*(\theta) = \arg\min_\phi L_S(\phi) + \frac{\lambda}{2} |\phi - \theta|^2,
      \qquad g = \Big(I + \frac{1}{\lambda} \nabla^2 L_S(\phi^*)\Big)^{-1} \nabla
      L_Q(\phi^*).

    The meta-gradient depends on the result of the inner steps alone, so that memory and
    the time of the backward pass do not grow with their number.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      inner_optimizer: optimizer of the inner loop, which must come close to the
        minimum.
      proximal: :math:`\lambda`, above 0.
      head: see `maml`.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      estimator: `estimators.implicit` of a linear solver; None for ten steps of
        conjugate gradients.

    Returns:
      A `MetaAlgorithm`, whose info is an `ImplicitInfo`.

    Raises:
      ValueError: if `num_steps` or `proximal` is not positive, or the inner steps
        cannot come near the minimum.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> algorithm = metaflax.imaml(
      ...     apply_fn=lambda w, x, key: w * x,
      ...     loss_fn=lambda out, y, weights: 0.5 * jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: jnp.zeros(()),
      ...     inner_optimizer=optax.sgd(0.25),
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> task = metaflax.Task(batch, batch)
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> grad, info = gradient(jnp.zeros(()), task)
      >>> print(f"{grad:.3f}", info.slope < 0.001)
      -0.500 True

    References:
      Rajeswaran et al., `Meta-Learning with Implicit Gradients
      <https://arxiv.org/abs/1909.04630>`_, 2019.
    """
    check_num_steps("imaml", num_steps)
    return compose(
        apply_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator or estimators.implicit(),
        proximal=proximal,
    )


IMAML = AlgorithmSpec(
    lambda parts: with_inner_optimizer(imaml, proximal=parts.proximal)(parts)
)
