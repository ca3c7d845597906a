"""Baselines without meta-training: a frozen encoder and fine-tuning."""

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._closed_form import protonet
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import (
    AlgorithmSpec,
    in_closed_form,
    with_inner_optimizer,
)


def frozen(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    head: base.Head,
) -> base.MetaAlgorithm:
    """Baseline that fits a closed-form head, such as class means, on a frozen encoder.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's parameters.
      head: fitted to each support set.

    Returns:
      A `MetaAlgorithm` whose loss has no gradient.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.frozen(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     head=heads.prototypes(2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> batch = metaflax.Batch(jnp.array([[0.0], [1.0]]), jnp.arange(2), jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, batch)
      >>> x = jnp.array([[0.2], [0.9]])
      >>> outputs = jax.jit(algorithm.predict)(params, adapted, x)
      >>> print(outputs.logits.argmax(-1))
      [0 1]
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> grads, _ = gradient(params, metaflax.Task(batch, batch))
      >>> print(grads["encoder"])
      0.0

    References:
      Tian et al., `Rethinking Few-Shot Image Classification: a Good Embedding Is All
      You Need? <https://arxiv.org/abs/2003.11539>`_, 2020, where the head is a
      logistic regression.
    """
    return protonet(
        encode_fn, loss_fn, init_fn, head=head, estimator=estimators.constant
    )


def fine_tuning(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    adapts: tree.Where = tree.everything,
    num_steps: int = 20,
) -> base.MetaAlgorithm:
    """Baseline that fine-tunes pretrained weights and a new head on the support set.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's parameters.
      inner_optimizer: fine-tunes, each step on the whole support set.
      head: head that initialises the output layer.
      adapts: parameters to fine-tune.
      num_steps: number of steps K.

    Returns:
      A `MetaAlgorithm` whose loss has no gradient.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.fine_tuning(
      ...     lambda w, x, key: w * x,
      ...     losses.softmax_cross_entropy,
      ...     lambda key: jnp.ones(()),
      ...     optax.sgd(1.0),
      ...     head=heads.zeros(1, 2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x, classes = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
      >>> support = metaflax.Batch(x, classes, jnp.ones(2))
      >>> _, info = jax.jit(algorithm.adapt)(params, support)
      >>> print(f"{info.losses[0]:.2f}, then {info.losses[-1]:.2f}")
      0.69, then 0.00

    References:
      Dhillon et al., `A Baseline for Few-Shot Image Classification
      <https://arxiv.org/abs/1909.02729>`_, 2020; here without its transductive term.
    """
    check_num_steps("fine_tuning", num_steps)
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimators.constant,
    )


FROZEN = AlgorithmSpec(
    in_closed_form(frozen),
    default_head="prototypes",
    has_inner_steps=False,
    is_baseline=True,
)
FINE_TUNING = AlgorithmSpec(
    with_inner_optimizer(fine_tuning), is_baseline=True, may_learn_rates=True
)
