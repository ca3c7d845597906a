"""Almost no inner loop: only the head adapts."""

import optax

from metaflax import base, estimators
from metaflax.algorithms._compose import check_num_steps, compose


def anil(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation,
    *,
    head: base.Head,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    """MAML whose inner steps change the output layer alone.

    The encoder learns features on which a few steps of the head suffice. It runs
    once per example, however many steps are taken, and each task stores a head only.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: the encoder's initial parameters.
      inner_optimizer: takes the inner steps.
      head: where the output layer begins.
      num_steps: inner steps K.
      estimator: how the query loss is differentiated.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    References:
      Raghu et al., `Rapid Learning or Feature Reuse? Towards Understanding the
      Effectiveness of MAML <https://arxiv.org/abs/1909.09157>`_, 2020.
    """
    check_num_steps("anil", num_steps)
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts="head",
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )
