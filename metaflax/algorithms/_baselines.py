"""What a practitioner would otherwise do; adapted and scored, never meta-trained."""

import functools

import optax

from metaflax import base, estimators, tree
from metaflax.algorithms._closed_form import protonet
from metaflax.algorithms._compose import check_num_steps, compose

# The encoder as it is below a head in closed form, such as class means.
frozen = functools.partial(protonet, estimator=estimators.constant)


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
    """Plain fine-tuning on the support set, from pretrained weights and a new head.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: the encoder's parameters.
      inner_optimizer: fine-tunes, each step on the whole support set.
      head: where the output layer begins.
      adapts: what is fine-tuned.
      num_steps: steps K.

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
