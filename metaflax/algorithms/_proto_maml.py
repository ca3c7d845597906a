"""MAML with an output layer initialised from prototypes (Proto-MAML)."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer


def proto_maml(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.first_order,
) -> base.MetaAlgorithm:
    r"""MAML whose output layer is initialised from prototypes (Proto-MAML).

    The head starts at :math:`W_n = 2 \tau c_n,\ b_n = -\tau |c_n|^2` and then
    adapts with the rest. Way may vary, since nothing of the head is learned but its
    temperature. The meta-gradient passes through the prototypes into the encoder.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      inner_optimizer: optimizer of the inner loop.
      head: `heads.prototypes`.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.proto_maml(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     inner_optimizer=optax.sgd(0.1),
      ...     head=heads.prototypes(2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x = jnp.array([[0.0], [2.0]])
      >>> support = metaflax.Batch(x, jnp.arange(2), jnp.ones(2))
      >>> _, info = jax.jit(algorithm.adapt)(params, support)
      >>> print(f"{info.losses[0]:.3f}")  # Where MAML would start from log(2).
      0.018

    References:
      Triantafillou et al., `Meta-Dataset: A Dataset of Datasets for Learning to
      Learn from Few Examples <https://arxiv.org/abs/1903.03096>`_, 2020.
    """
    check_num_steps("proto_maml", num_steps)
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )


PROTO_MAML = AlgorithmSpec(
    with_inner_optimizer(proto_maml), default_head="prototypes", may_learn_rates=True
)
