r"""Detection of words in entities beside class means of their types.

Words in no entity have little in common, so that no mean represents them. Instead, a
detector of words in entities is learned over all types, and refitted to each support
set.
"""

import math

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._logistic_regression import minimiser
from metaflax.heads._membership import counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen

MAX_STEPS = 20  # Of Newton's method; seldom more than ten are taken.


def detected(
    head: base.Head,
    num_features: int,
    num_classes: int,
    *,
    strength: float = 1.0,
    rate: float = 0.1,
) -> base.Head:
    r"""Adds the class of words in no entity to a head of the types of entities.

    The other head is fitted to the words in entities alone and gives a logit
    :math:`t_n(f)` a type. The logit of none is :math:`-z(f)` with
    :math:`z(f) = w \cdot f + b`, so that a word is in an entity at log-odds of
    :math:`z(f) + \log \sum_n \exp t_n(f)`: how near it is to a type of this task, and
    how much it is like entities of any type. Logistic regression fits
    :math:`\theta = (w, b)` to the support set, around a start that the outer loop
    learns over the types of all tasks,

    .. math::

      \theta = \arg\min_\theta \sum_u w_u \, \mathrm{CE}
      \Bigl(z_\theta(f_u) + \log \sum_n \exp t_n(f_u), \; e_u\Bigr)
      + \frac{\lambda}{2} |\theta - \theta_0|^2,

    where :math:`e_u` is 1 for a word in an entity and 0 for others. Derivatives are
    those of the exact :math:`\theta`, as for `logistic_regression`. All is linear in
    the features, and so one linear layer.

    Args:
      head: types the words in entities; its state is a linear layer, as that of
        `prototypes`.
      num_features: D.
      num_classes: N, of which the last is that of words in no entity.
      strength: initial value of :math:`\lambda`; its logarithm is
        `head/log_strength`, for the outer loop to learn.
      rate: share of words in entities, whose log-odds :math:`b_0` begins at;
        :math:`w_0` begins at 0.

    Returns:
      A `Head` for classes of words (`tags`).

    Raises:
      ValueError: if the strength is not above 0, the rate not between 0 and 1, or the
        other head serves no classes or is no linear layer.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import heads
      >>> head = heads.detected(heads.prototypes(3), 1, 3)
      >>> features = jnp.array([[5.0], [3.0], [-4.0], [-9.0]])
      >>> params = head.init(None)
      >>> state = head.fit(params, features, jnp.array([0, 1, 2, 2]), jnp.ones(4))
      >>> print(jnp.argmax(head.apply(state, features).logits, axis=-1))
      [0 1 2 2]

    References:
      Ma et al., `Decomposed Meta-Learning for Few-Shot Named Entity Recognition
      <https://arxiv.org/abs/2204.05751>`_, 2022, detects entities of any type with a
      learned start and types them by class means. Departures: one convex problem in
      place of gradient steps of a second encoder, which the types take part in.
    """
    check_positive("strength", strength)
    if not 0 < rate < 1:
        raise ValueError(f"the rate is a share between 0 and 1, got {rate}.")
    if "classes" not in head.serves or not head.is_linear:
        raise ValueError(
            "detected takes a head for one class a unit whose state is a linear layer,"
            " such as prototypes or ridge; take another head."
        )

    def init(key):
        return {
            "types": head.init(key),
            "kernel": jnp.zeros(num_features),
            "bias": jnp.asarray(math.log(rate / (1 - rate)), float),
            "log_strength": log(strength),
        }

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)  # [U, N]
        in_type = jnp.sum(members[:, :-1], axis=-1)  # [U]
        typed = jnp.where(in_type > 0, weights, 0)
        types = head.fit(head_params["types"], features, targets, typed)
        kernel, bias = _detector(head_params, features, members[:, -1], in_type, types)
        return {
            "kernel": types["kernel"].at[:, -1].set(-kernel.astype(features.dtype)),
            "bias": types["bias"].at[-1].set(-bias.astype(features.dtype)),
            "mask": jnp.any(members > 0, axis=0),
        }

    return base.Head(
        init,
        fit,
        linear_outputs,
        frozenset({"tags"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )


def _detector(head_params, features, in_none, in_type, types):
    """Fits w `[D]` and b to the weights of words in none and in entities, `[U]`."""
    features = widen(features)
    start_kernel, start_bias = widen((head_params["kernel"], head_params["bias"]))
    wide = {**types, "kernel": widen(types["kernel"]), "bias": widen(types["bias"])}
    near = jax.nn.logsumexp(linear_outputs(wide, features).logits, axis=-1)
    start = jnp.matmul(features, start_kernel, precision="highest") + start_bias
    # Two classes whose logits are 0 and the log-odds; only their difference matters.
    step = minimiser(
        jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=-1),
        jnp.stack([in_none > 0, in_type > 0], axis=-1).astype(features.dtype),
        (in_none + in_type).astype(features.dtype),
        jnp.ones(2, bool),
        # Both columns are opposite: their squares add up to half of their difference's.
        2 * jnp.exp(widen(head_params["log_strength"])),
        MAX_STEPS,
        jnp.stack([jnp.zeros_like(start), start + near], axis=-1),
    )  # [D + 1, 2]
    step = step[:, 1] - step[:, 0]
    return start_kernel + step[:-1], start_bias + step[-1]
