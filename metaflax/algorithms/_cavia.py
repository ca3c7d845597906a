"""Fast context adaptation of a shared network (CAVIA)."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmParts, AlgorithmSpec


def cavia(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    context: tree.Where,
    head: base.Head | None = None,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns a shared network and adapts a context vector to each task (CAVIA).

    The context :math:`c` begins at zero for every task and alone takes inner steps;
    all the rest, :math:`\theta`, is shared and learned by the outer loop:

    .. math::

      c_0 = 0, \qquad c_{k+1} = c_k - \alpha \nabla_c L_S(c_k, \theta), \qquad
      g = \nabla_\theta L_Q(c_K(\theta), \theta).

    Each task stores a context and no copy of the network.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      inner_optimizer: optimizer of the inner loop; its learning rate is usually
        large, 1 or above.
      context: paths of the context parameters, such as `*/context/vector`
        (`models.with_context`).
      head: see `maml`.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> algorithm = metaflax.cavia(
      ...     apply_fn=lambda params, x, key: params["slope"] * x + params["context"],
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"slope": jnp.ones(()), "context": jnp.ones(())},
      ...     inner_optimizer=optax.sgd(0.25),
      ...     context="context",
      ...     num_steps=2,
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = metaflax.Batch(jnp.ones(2), 2 * jnp.ones(2), jnp.ones(2))
      >>> print(jax.jit(algorithm.adapt)(params, support)[0])
      {'context': Array(0.75, dtype=float32), 'slope': None}

    References:
      Zintgraf et al., `Fast Context Adaptation via Meta-Learning
      <https://arxiv.org/abs/1810.03642>`_, 2019.
    """
    check_num_steps("cavia", num_steps)
    return compose(
        apply_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=context,
        resets=context,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )


def _build(parts: AlgorithmParts) -> base.MetaAlgorithm:
    return cavia(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        parts.inner_optimizer,
        context="encoder/embeddings/context/vector",
        head=parts.head,
        num_steps=parts.num_steps,
    )


CAVIA = AlgorithmSpec(_build, adapts_generative=False, may_learn_rates=True)
