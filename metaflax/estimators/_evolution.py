"""Meta-gradients without derivatives, by evolution strategies."""

import jax
import jax.numpy as jnp

from metaflax import _checks, base, tree
from metaflax.base._estimator import moving_params
from metaflax.estimators._first_order import stopped
from metaflax.estimators._surrogate import pulled


def evolution(
    sigma: float = 0.01,
    num_pairs: int = 8,
    *,
    perturbs: tree.Where = tree.everything,
) -> base.Estimator:
    r"""Estimates the meta-gradient by antithetic evolution strategies.

    It is the gradient of the query loss smoothed by a normal of deviation
    :math:`\sigma`, from P pairs of opposite perturbations:

    .. math::

      g = \frac{1}{2 \sigma P} \sum_{p=1}^P \big(L(\theta + \sigma \epsilon_p) -
      L(\theta - \sigma \epsilon_p)\big) \epsilon_p .

    Nothing is differentiated but the inner loss, so that inner steps may be many,
    rough or not differentiable at all. Its variance grows with the number of
    parameters that are perturbed: take few, such as learned rates.

    Args:
      sigma: the deviation of the perturbations.
      num_pairs: P, pairs of adaptations per task, one after the other.
      perturbs: paths of the meta-parameters to perturb; the rest get no gradient.

    Returns:
      An `Estimator`. Its loss raises a `ValueError` without a key, or for a pattern
      that matches no parameter.

    Raises:
      ValueError: if `sigma` or `num_pairs` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import estimators
      >>> algorithm = metaflax.maml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ...     num_steps=1,
      ...     estimator=estimators.evolution(num_pairs=1000),
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> task, key = metaflax.Task(batch, batch), jax.random.key(0)
      >>> grad, _ = gradient(jnp.zeros(()), task, key)
      >>> print(f"{grad:.1f}")
      -1.0

    References:
      Salimans et al., `Evolution Strategies as a Scalable Alternative to
      Reinforcement Learning <https://arxiv.org/abs/1703.03864>`_, 2017. Song et al.,
      `ES-MAML <https://arxiv.org/abs/1910.01215>`_, 2020.
    """
    if not sigma > 0 or num_pairs < 1:
        raise ValueError(
            f"evolution takes a positive sigma and at least one pair, got"
            f" sigma={sigma} and num_pairs={num_pairs}."
        )

    def estimator(
        problem: base.InnerProblem, query_loss: base.QueryLossFn
    ) -> base.MetaLossFn:
        meta_loss = stopped(problem, query_loss)

        def loss(params, task, key=None, step=None):
            if key is None:
                raise ValueError(
                    "evolution draws its perturbations from a key and got none; pass"
                    " one to the loss (in training: keep dropout's keys on), or take"
                    " another estimator."
                )
            noise_key, task_key = jax.random.split(key)
            params_, task = jax.lax.stop_gradient((params, task))
            _checks.check_patterns("perturbs", perturbs, params_)
            center, rest = tree.partition(params_, perturbs)

            def at(noise, sign):
                moved = jax.tree.map(lambda p, e: p + sign * sigma * e, center, noise)
                value, _ = meta_loss(tree.merge(moved, rest), task, task_key, step)
                return value

            def add(total, pair_key):
                noise = _normal_like(pair_key, center)
                # The same dropout on both sides, so that it cancels.
                slope = (at(noise, 1) - at(noise, -1)) / (2 * sigma * num_pairs)
                scaled = jax.tree.map(lambda e: slope.astype(e.dtype) * e, noise)
                return jax.tree.map(jnp.add, total, scaled), None

            zeros = jax.tree.map(jnp.zeros_like, center)
            keys = jax.random.split(noise_key, num_pairs)
            gradient, _ = jax.lax.scan(add, zeros, keys)
            value, info = meta_loss(params_, task, task_key, step)
            perturbed, _ = tree.partition(params, perturbs)
            return pulled(value, perturbed, gradient), info

        return loss

    return moving_params(estimator)


def _normal_like(key, point):
    leaves, treedef = jax.tree.flatten(point)
    keys = jax.random.split(key, len(leaves))
    draws = [
        jax.random.normal(k, x.shape, x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(treedef, draws)
