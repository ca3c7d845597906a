"""LEOPARD: a generated output layer and learned inner learning rates."""

from metaflax import base, estimators, inner_optimizers, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_learning_rate


def leopard(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    learning_rate: float = 0.01,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.first_order,
) -> base.MetaAlgorithm:
    r"""Learns to generate a task's output layer, and its learning rates per layer.

    The softmax layer begins as :math:`(w_n, b_n) = \frac{1}{|S_n|} \sum_{x \in S_n}
    g_\psi(f(x))`, whatever the number of classes, and then adapts with the layers that
    `adapts` chooses. The generator :math:`\psi` is learned by the outer loop alone, as
    are the rates, one a layer.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      head: `heads.leopard`.
      learning_rate: initial value of the inner learning rates.
      adapts: parameters that the inner steps change; the paper leaves out BERT's
        lower layers.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ..., "inner": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.leopard(
      ...     encode_fn=lambda params, x, key: x @ params["dense"],
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: {"dense": jnp.eye(2)},
      ...     head=heads.leopard(2, 3),
      ...     learning_rate=0.01,
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> print(*params["inner"])
      encoder head head/embed/hidden head/embed/output

    References:
      Bansal et al., `Learning to Few-Shot Learn Across Diverse Natural Language
      Classification Tasks <https://arxiv.org/abs/1911.03863>`_, 2020.
    """
    check_num_steps("leopard", num_steps)
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizers.learned_rates(learning_rate, per="layer"),
        num_steps=num_steps,
        estimator=estimator,
    )


LEOPARD = AlgorithmSpec(with_learning_rate(leopard), default_head="leopard")
