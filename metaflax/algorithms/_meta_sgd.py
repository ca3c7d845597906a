"""MAML with a learned learning rate per parameter (Meta-SGD)."""

from metaflax import base, estimators, inner_optimizers, tree
from metaflax.algorithms._compose import check_num_steps
from metaflax.algorithms._maml import maml
from metaflax.algorithms._spec import AlgorithmSpec, with_learning_rate


def meta_sgd(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    learning_rate: float = 0.01,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 1,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns an initialisation and a learning rate per parameter (Meta-SGD).

    .. math::

      \phi_{k+1} = \phi_k - \alpha \circ \nabla L_S(\phi_k),

    with :math:`\alpha` shaped like the adapted parameters and learned with the start. A
    rate may become negative, so that the direction is learned too.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      learning_rate: initial value of all learning rates.
      head: see `maml`; one whose shapes are known beforehand.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K; the paper takes one.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm`, whose parameters hold the rates under `inner` and a model
      without a head under `model`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> algorithm = metaflax.meta_sgd(
      ...     apply_fn=lambda params, x, key: params["kernel"] * x,
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"kernel": jnp.zeros(())},
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> for rate in 0.25, -0.25:
      ...     params["inner"]["kernel"] = rate
      ...     adapted, _ = jax.jit(algorithm.adapt)(params, support)
      ...     print(adapted["kernel"])
      1.0
      -1.0

    References:
      Li et al., `Meta-SGD: Learning to Learn Quickly for Few-Shot Learning
      <https://arxiv.org/abs/1707.09835>`_, 2017.
    """
    check_num_steps("meta_sgd", num_steps)
    return maml(
        apply_fn,
        loss_fn,
        init_fn,
        inner_optimizers.learned_rates(learning_rate, per="parameter"),
        head=head,
        adapts=adapts,
        num_steps=num_steps,
        estimator=estimator,
    )


META_SGD = AlgorithmSpec(with_learning_rate(meta_sgd))
