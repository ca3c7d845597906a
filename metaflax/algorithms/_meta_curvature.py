"""MAML with learned preconditioning of inner gradients (meta-curvature)."""

from metaflax import base, estimators, inner_optimizers, tree
from metaflax.algorithms._compose import check_num_steps
from metaflax.algorithms._maml import maml
from metaflax.algorithms._spec import AlgorithmSpec, with_learning_rate


def meta_curvature(
    apply_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    *,
    learning_rate: float = 0.01,
    rank: int | None = None,
    head: base.Head | None = None,
    adapts: tree.Where = tree.everything,
    num_steps: int = 5,
    estimator: base.Estimator = estimators.reverse,
) -> base.MetaAlgorithm:
    r"""Learns an initialisation and matrices that precondition inner gradients.

    For a kernel's gradient G,

    .. math::

      \phi_{k+1} = \phi_k - \alpha M_{in}\, G(\phi_k)\, M_{out}^\top,

    with matrices that begin as the identity and are learned with the start.

    Args:
      apply_fn: `outputs = apply_fn(params, inputs, key)`, or with a head the
        features.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the model's initial parameters.
      learning_rate: initial value of the inner learning rates.
      rank: rank of the matrix added to the identity, which makes kernels of BERT's size
        affordable (`inner_optimizers.kronecker`); None for full matrices.
      head: see `maml`; one whose shapes are known beforehand.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      estimator: estimator of the meta-gradient.

    Returns:
      A `MetaAlgorithm`, whose parameters hold the matrices under `inner` and a model
      without a head under `model`.

    Raises:
      ValueError: if `num_steps` or `rank` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> algorithm = metaflax.meta_curvature(
      ...     apply_fn=lambda params, x, key: (x @ params["kernel"])[:, 0],
      ...     loss_fn=lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     init_fn=lambda key: {"kernel": jnp.zeros((3, 1))},
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> print(jax.tree.map(jnp.shape, params["inner"]))
      {'kernel': {'axis_0': (3, 3), 'axis_1': (1, 1), 'rate': ()}}

    References:
      Park and Oliva, `Meta-Curvature <https://arxiv.org/abs/1902.03356>`_, 2019.
      Arnold et al., `When MAML Can Adapt Fast and How to Assist When It Cannot
      <https://arxiv.org/abs/1910.13603>`_, 2021, for factors of low cost.
    """
    check_num_steps("meta_curvature", num_steps)
    inner_optimizer = (
        inner_optimizers.meta_curvature(learning_rate)
        if rank is None
        else inner_optimizers.kronecker(rank, learning_rate)
    )
    return maml(
        apply_fn,
        loss_fn,
        init_fn,
        inner_optimizer,
        head=head,
        adapts=adapts,
        num_steps=num_steps,
        estimator=estimator,
    )


META_CURVATURE = AlgorithmSpec(with_learning_rate(meta_curvature, rank=8))
