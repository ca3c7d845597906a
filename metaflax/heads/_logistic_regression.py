"""Logistic regression as an output layer, fitted to convergence."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import counted, membership
from metaflax.heads._scale import check_positive, log

# A line search compares these shares of a Newton step.
SHARES = tuple(4.0**-i for i in range(6))
# Systems are of N * min(U, D) equations at most and seldom need as many steps.
MAX_SYSTEM_STEPS = 200


def logistic_regression(
    num_classes: int,
    *,
    strength: float = 1.0,
    max_steps: int = 20,
    num_features: int | None = None,
) -> base.Head:
    r"""Linear output layer fitted to the support set by logistic regression.

    .. math::

      W = \arg\min_W J(W), \qquad
      J(W) = \sum_u w_u \, \mathrm{CE}(f_u^\top W, y_u) + \frac{\lambda}{2} |W|^2,

    with the cross entropy over present classes. There is no intercept: an
    unregularised one has no unique value, and a constant feature makes a
    regularised one. So J is strictly convex and W unique, whatever the order of
    classes. It is scikit-learn's `LogisticRegression` of :math:`C = 1 / \lambda`
    without intercept; the first term is a sum, so that more shots count for more.

    Newton's method solves for W, each system by conjugate gradients on products
    with the Hessian, each step of the length that reduces the gradient norm most.
    Derivatives are those of the exact W by the implicit function theorem,

    .. math:: dW = -(\nabla^2 J)^{-1} \, d(\nabla J),

    so that a meta-gradient takes one more linear system and no memory for the steps.

    Args:
      num_classes: N, the largest way.
      strength: initial value of :math:`\lambda`; its logarithm is `head/log_strength`,
        for the outer loop to learn.
      max_steps: the largest number of Newton steps; seldom more than ten are taken.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`), whose state is a linear layer with
      a bias of 0.

    Raises:
      ValueError: if the strength is not above 0 or `max_steps` not positive.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import logistic_regression
      >>> head = logistic_regression(2)
      >>> features = jnp.array([[1.0], [-1.0]])
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(state["kernel"].round(3))  # w = 2 / (1 + exp(2w))
      [[ 0.521 -0.521]]

    References:
      Lee et al., `Meta-Learning with Differentiable Convex Optimization
      <https://arxiv.org/abs/1904.03758>`_, 2019; Bertinetto et al., `Meta-learning
      with differentiable closed-form solvers <https://arxiv.org/abs/1805.08136>`_,
      2019, LR-D2, which unrolls a few steps for two classes.
    """
    check_positive("strength", strength)
    if max_steps < 1:
        raise ValueError(f"max_steps is 1 or more, got {max_steps}.")

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        labels = membership(targets, jnp.ones_like(weights), num_classes)  # [U, N]
        mask = jnp.any((labels > 0) & (weights > 0)[:, None], axis=0)
        dtype = jnp.promote_types(features.dtype, jnp.float32)
        strength = jnp.exp(head_params["log_strength"].astype(dtype))
        kernel = minimiser(
            features.astype(dtype),
            labels.astype(dtype),
            weights.astype(dtype),
            mask,
            strength,
            max_steps,
        )
        return {
            "kernel": kernel.astype(features.dtype),
            "bias": jnp.zeros(num_classes, features.dtype),
            "mask": mask,
        }

    return base.Head(
        lambda key: {"log_strength": log(strength)},
        fit,
        linear_outputs,
        frozenset({"classes"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )


def minimiser(features, labels, weights, mask, strength, max_steps, offsets: Any = 0.0):
    """Solves for the minimiser `[D, N]`, differentiable in all but the mask.

    Args:
      features: `[U, D]`.
      labels: `[U, N]`, 1 for the class of a unit.
      weights: `[U]`.
      mask: `[N]`, false for absent classes.
      strength: strength of the penalty on the minimiser.
      max_steps: the largest number of Newton steps.
      offsets: `[U, N]`, added to the logits.
    """

    def slope(kernel):
        logits = jnp.matmul(features, kernel, precision="highest") + offsets  # [U, N]
        probabilities = jax.nn.softmax(base.masked_outputs(logits, mask).logits)
        wrong = (1 - labels) * probabilities
        # 1 - p by its parts, since the difference would lose what is small.
        excess = wrong - labels * jnp.sum(wrong, axis=-1, keepdims=True)
        excess = weights[:, None] * excess
        return jnp.matmul(features.T, excess, precision="highest") + strength * kernel

    return jax.lax.custom_root(
        slope,
        jnp.zeros((features.shape[1], labels.shape[1]), features.dtype),
        solve=functools.partial(_newton, strength, max_steps),
        tangent_solve=lambda hessian, b: _system(hessian, b, _precision(b)),
    )


def _precision(x):
    """Returns a relative error that is attainable in floating point."""
    return 64 * jnp.finfo(x.dtype).eps


def _system(hessian, b, tolerance):
    solution = linalg.conjugate_gradient(
        hessian, b, tolerance=tolerance, max_steps=MAX_SYSTEM_STEPS
    )
    return solution.x


def _newton(strength, max_steps, slope, start):
    """Takes Newton steps to a root, while they reduce the gradient norm."""
    steepest = jnp.linalg.norm(slope(start))
    shares = jnp.asarray(SHARES, start.dtype)

    def unfinished(carry):
        kernel, steepness, lessened, step = carry
        # J curves by lambda at least, so the error of W is at most slope / lambda.
        tolerable = _precision(start) * strength * jnp.linalg.norm(kernel)
        return lessened & (steepness > tolerable) & (step < max_steps)

    def advance(carry):
        kernel, steepness, _, step = carry
        gradient, hessian = jax.linearize(slope, kernel)
        # Rough systems while far away; their error falls faster than the slope.
        tolerance = jnp.minimum(0.1, steepness / steepest)
        direction = -_system(hessian, gradient, tolerance)
        # A short enough Newton step reduces the slope, which shows in spite of
        # rounding, unlike in J, which is flat close to its minimum.
        reached = kernel[None] + shares[:, None, None] * direction[None]
        each = jax.vmap(lambda w: jnp.linalg.norm(slope(w)))(reached)
        best = jnp.argmin(each)
        lessened = each[best] < steepness
        kernel = jnp.where(lessened, reached[best], kernel)
        return kernel, jnp.minimum(each[best], steepness), lessened, step + 1

    carry = (start, steepest, jnp.asarray(True), jnp.asarray(0))
    return jax.lax.while_loop(unfinished, advance, carry)[0]
