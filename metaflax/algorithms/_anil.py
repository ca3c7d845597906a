"""MAML with partial adaptation: of the head alone (ANIL) or the body alone (BOIL)."""

import optax

from metaflax import _checks, base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import (
    AlgorithmParts,
    AlgorithmSpec,
    with_inner_optimizer,
)


def anil(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    """MAML whose inner steps adapt the output layer alone (ANIL).

    The encoder learns features on which a few steps of the head suffice. It runs
    once per example, however many steps are taken, and each task stores a head only.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      inner_optimizer: optimizer of the inner loop.
      head: head that initialises the output layer.
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
      >>> algorithm = metaflax.anil(
      ...     lambda w, x, key: w * x,
      ...     losses.softmax_cross_entropy,
      ...     lambda key: jnp.ones(()),
      ...     optax.sgd(1.0),
      ...     head=heads.zeros(1, 2),
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> x, classes = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
      >>> support = metaflax.Batch(x, classes, jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, support)
      >>> print(adapted["encoder"], adapted["head"]["kernel"].round(2))
      None [[-1.18  1.18]]

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


def boil(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    adapts: tree.Where = "encoder",
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    """MAML whose inner steps adapt the body and keep the output layer fixed (BOIL).

    The features have to move towards a head that is the same for all tasks, so that
    they change, whereas ANIL reuses them.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      inner_optimizer: optimizer of the inner loop.
      head: head of the fixed output layer, such as `heads.linear`.
      adapts: parameters of the encoder that the inner steps change.
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
      >>> algorithm = metaflax.boil(
      ...     lambda w, x, key: w * x,
      ...     losses.softmax_cross_entropy,
      ...     lambda key: jnp.ones(()),
      ...     optax.sgd(1.0),
      ...     head=heads.linear(1, 2),
      ... )
      >>> params = {**algorithm.init(jax.random.key(0))}
      >>> params["head"] = {"kernel": jnp.array([[-1.0, 1.0]]), "bias": jnp.zeros(2)}
      >>> x, classes = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
      >>> support = metaflax.Batch(x, classes, jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, support)
      >>> print(adapted["encoder"].round(2), adapted["head"]["kernel"])
      1.68 [[-1.  1.]]

    References:
      Oh et al., `BOIL: Towards Representation Change for Few-shot Learning
      <https://arxiv.org/abs/2008.08882>`_, 2021.
    """
    check_num_steps("boil", num_steps)
    return compose(
        encode_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=_checks.narrowed(adapts, lambda path: path.split("/")[0] == "encoder"),
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )


def _build_anil(parts: AlgorithmParts) -> base.MetaAlgorithm:
    return anil(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        parts.inner_optimizer,
        head=parts.head,
        num_steps=parts.num_steps,
    )


ANIL = AlgorithmSpec(_build_anil, adapts_generative=False, may_learn_rates=True)
BOIL = AlgorithmSpec(with_inner_optimizer(boil), may_learn_rates=True)
