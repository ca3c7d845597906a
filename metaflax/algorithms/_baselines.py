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
