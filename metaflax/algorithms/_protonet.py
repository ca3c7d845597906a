"""Prototypical networks, alone and as the start of an inner loop."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose


def protonet(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns features whose class means classify.

    Nothing adapts but the head, in closed form: a query belongs to class n with
    probability softmax over :math:`-\tau |f(x) - c_n|^2`, :math:`c_n` the mean of
    the support features of n. The meta-gradient is a plain gradient through both.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: the encoder's initial parameters.
      head: `heads.prototypes`, or any other that is fitted in closed form.
      estimator: how the query loss is differentiated; there are no inner steps to
        pass through, so only a baseline has another.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import heads, losses
      >>> algorithm = protonet(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.prototypes(2),
      ... )
      >>> x = jnp.array([[0.0], [1.0]])
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = base.Batch(x, jnp.array([0, 1]), jnp.ones(2))
      >>> adapted, _ = algorithm.adapt(params, support)
      >>> outputs = algorithm.predict(params, adapted, jnp.array([[0.2], [0.9]]))
      >>> print(outputs.logits.argmax(-1))
      [0 1]

    References:
      Snell et al., `Prototypical Networks for Few-shot Learning
      <https://arxiv.org/abs/1703.05175>`_, 2017.
    """
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=tree.nothing,
        inner_optimizer=optax.identity(),
        num_steps=0,
        estimator=estimator,
    )


def proto_maml(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation,
    *,
    head: base.Head,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.first_order,
) -> base.MetaAlgorithm:
    r"""MAML whose output layer begins as the prototypes' linear layer.

    The head starts at :math:`W_n = 2 \tau c_n,\ b_n = -\tau |c_n|^2` and then
    adapts with the rest. Way may vary, since nothing of the head is learned but its
    temperature. The meta-gradient passes through the prototypes into the encoder.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: the encoder's initial parameters.
      inner_optimizer: takes the inner steps.
      head: `heads.prototypes`.
      adapts: what the inner steps change.
      num_steps: inner steps K.
      estimator: how the query loss is differentiated.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

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
