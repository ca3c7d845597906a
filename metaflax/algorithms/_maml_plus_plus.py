"""MAML with multi-step loss and learned rates per layer and step (MAML++)."""

import jax
import jax.numpy as jnp

from metaflax import base, estimators, inner_optimizers, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_learning_rate


def maml_plus_plus(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    learning_rate: float = 0.01,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    multi_step_until: int = 0,
    first_order_until: int = 0,
    second_order: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns an initialisation and rates per layer and step by a multi-step loss.

    At outer step t the objective is :math:`\sum_k w_k(t) L_Q(\phi_k)`: the weights are
    even at first and move to the last inner step until `multi_step_until`. The
    derivative is of first order until `first_order_until`. Each layer has a learned
    rate for every inner step (LSLR).

    Two parts of the paper are not part of this function: the cosine schedule of the
    outer rate belongs to the outer optimizer, and batch statistics per step to models
    that have any; BERT has none.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      learning_rate: initial value of all inner learning rates.
      head: see `maml`; one whose shapes are known beforehand.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      multi_step_until: the outer step from which on the last inner step alone counts.
      first_order_until: the outer step from which on derivatives are of second order.
      second_order: estimator of second-order gradients, `reverse` or `mixed_mode`.

    Returns:
      A `MetaAlgorithm`, whose parameters hold the rates under `inner` and a model
      without a head under `model`. Its `loss` needs the outer step for the
      schedules; without one they are at their end.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> algorithm = metaflax.maml_plus_plus(
      ...     apply_fn=lambda params, x, key: params["dense"]["kernel"] * x,
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"dense": {"kernel": jnp.zeros(())}},
      ...     learning_rate=0.25,
      ...     num_steps=3,
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> print(params["inner"])
      {'dense': Array([0.25, 0.25, 0.25], dtype=float32)}

    References:
      Antoniou et al., `How to Train Your MAML <https://arxiv.org/abs/1810.09502>`_,
      2019.
    """
    check_num_steps("maml_plus_plus", num_steps)
    estimator = second_order
    if first_order_until > 0:
        estimator = estimators.annealed(first_order_until, after=second_order)
    return compose(
        apply_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=adapts,
        inner_optimizer=inner_optimizers.learned_rates(
            learning_rate, per="layer", num_steps=num_steps
        ),
        num_steps=num_steps,
        estimator=estimator,
        query_weights=(
            _multi_step_weights(num_steps, multi_step_until)
            if multi_step_until > 0
            else None
        ),
    )


def _multi_step_weights(num_steps: int, until: int):
    """Anneals weights `[K]` from uniform over inner steps to the last step alone."""

    def weights(step: jax.Array) -> jax.Array:
        even = jnp.full(num_steps, 1 / num_steps)
        last = jnp.zeros(num_steps).at[-1].set(1.0)
        share = jnp.clip(step / until, 0.0, 1.0)
        return (1 - share) * even + share * last

    return weights


MAML_PLUS_PLUS = AlgorithmSpec(with_learning_rate(maml_plus_plus))
