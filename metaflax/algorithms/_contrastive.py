"""Contrastive fine-tuning of the encoder, then a head."""

import optax

from metaflax import base, estimators, losses, tree
from metaflax.algorithms._compose import (
    assemble,
    check_num_steps,
    ignoring_padding,
)
from metaflax.algorithms._learners import refitted
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer


def contrastive_fine_tuning(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    adapts: tree.Where = tree.everything,
    num_steps: int = 20,
    estimator: base.Estimator = estimators.constant,
) -> base.MetaAlgorithm:
    """Fine-tunes the encoder on pairs, then fits a head (as SetFit).

    Inner steps draw support texts of one class together and others apart
    (`losses.cosine_pairs`), which makes many pairs of few texts; a head in closed form
    is fitted to the resulting features.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`, of the query set.
      init_fn: function that returns the encoder's parameters.
      inner_optimizer: fine-tunes, each step on all pairs of the support set; SetFit
        samples pairs.
      head: `heads.logistic_regression`, as in SetFit, or another closed form.
      adapts: parameters of the encoder to fine-tune.
      num_steps: number of steps K.
      estimator: `constant` for a baseline; any other meta-trains the start.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": ...}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.contrastive_fine_tuning(
      ...     encode_fn=lambda kernel, x, key: x @ kernel,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.eye(2),
      ...     inner_optimizer=optax.sgd(0.5),
      ...     head=heads.prototypes(2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x = jnp.array([[1.0, 0.2], [1.0, 0.4], [1.0, 0.8], [1.0, 1.0]])
      >>> support = metaflax.Batch(x, jnp.array([0, 0, 1, 1]), jnp.ones(4))
      >>> _, info = jax.jit(algorithm.adapt)(params, support)
      >>> print(f"{info.losses[0]:.2f}, then {info.losses[-1]:.2f}")
      0.41, then 0.05

    References:
      Tunstall et al., `Efficient Few-Shot Learning Without Prompts
      <https://arxiv.org/abs/2209.11055>`_, 2022.
    """
    check_num_steps("contrastive_fine_tuning", num_steps)
    algorithm = assemble(
        refitted(encode_fn, init_fn, head, adapts),
        losses.cosine_pairs,
        loss_fn,
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )
    return ignoring_padding(algorithm)


CONTRASTIVE_FINE_TUNING = AlgorithmSpec(
    with_inner_optimizer(contrastive_fine_tuning),
    default_head="logistic_regression",
    is_baseline=True,
)
