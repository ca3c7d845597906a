"""MAML with learned warp layers that precondition inner gradients (WarpGrad)."""

import optax

from metaflax import _checks, base, estimators, tree
from metaflax.algorithms._compose import check_num_steps, compose
from metaflax.algorithms._spec import AlgorithmSpec, with_inner_optimizer
from metaflax.tree._paths import is_empty


def warpgrad(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    warps: tree.Where,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.trajectory,
) -> base.MetaAlgorithm:
    r"""Learns warp layers that precondition the inner gradients of other layers.

    Gradients of the layers that adapt pass through the warp layers, which
    precondition them by their Jacobian. The warps :math:`\eta` learn from every inner
    step by itself:

    .. math::

      \min_\eta \sum_k L_Q\big(\phi_k - \alpha \nabla L_S(\phi_k, \eta), \eta\big)
      \quad \text{with } \phi_k \text{ given}.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      inner_optimizer: optimizer of the inner loop.
      warps: paths of the warp layers, such as `*/adapter`
        (`models.with_adapters`): learned by the outer loop, never adapted.
      head: see `maml`.
      adapts: other parameters that the inner steps change.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm`.

    Raises:
      ValueError: if `num_steps` is not positive; from `init`, if there is no warp
        layer, or a pattern matches none.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> algorithm = metaflax.warpgrad(
      ...     apply_fn=lambda params, x, key: params["warp"] * params["layer"] * x,
      ...     loss_fn=lambda out, y, weights: 0.5 * jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"layer": jnp.zeros(()), "warp": 2 * jnp.ones(())},
      ...     inner_optimizer=optax.sgd(0.1),
      ...     warps="warp",
      ...     num_steps=1,
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> print(jax.jit(algorithm.adapt)(params, support)[0])
      {'layer': Array(0.4, dtype=float32), 'warp': None}

    References:
      Flennerhag et al., `Meta-Learning with Warped Gradient Descent
      <https://arxiv.org/abs/1909.00025>`_, 2020.
    """
    check_num_steps("warpgrad", num_steps)
    is_warp = tree.where(warps)
    algorithm = compose(
        apply_fn,
        loss_fn,
        init_fn,
        head=head,
        adapts=_checks.narrowed(adapts, lambda path: not is_warp(path)),
        inner_optimizer=inner_optimizer,
        num_steps=num_steps,
        estimator=estimator,
    )

    def init(key):
        params = algorithm.init(key)
        if is_empty(tree.select(params, warps)):
            raise ValueError(
                f"warpgrad finds no warp layer: no parameter matches {warps!r}; add"
                " some (models.with_adapters) or name others."
            )
        _checks.check_patterns("warps", warps, params)
        return params

    return algorithm._replace(init=init)


WARPGRAD = AlgorithmSpec(
    with_inner_optimizer(warpgrad, warps="encoder/*/adapter"),
    adapts_generative=False,
    may_learn_rates=True,
)
