"""Attention over the support set as an output layer."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg import unit


def matching(num_classes: int, *, temperature: float = 10.0) -> base.Head:
    r"""Classifies by cosine attention over the support set (matching networks).

    .. math::

      a_i(f) = \frac{w_i \exp(\tau \cos(f, f_i))}
                    {\sum_j w_j \exp(\tau \cos(f, f_j))}, \qquad
      \mathrm{logit}_n(f) = \log \sum_{i: y_i = n} a_i(f),

    so that the softmax over logits is the paper's prediction. Departures from it:
    its full context embeddings are left out, each feature being that of its example
    alone, and :math:`\tau`, which is 1 there, is learned.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`; its logarithm is
        `head/log_temperature`, for the outer loop to learn.

    Returns:
      A `Head` for one class a unit (`classes`). Its state holds the support set, in
      which the features and the scale :math:`\tau` may adapt; it has no `template`.

    Raises:
      ValueError: if the temperature is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import matching
      >>> head = matching(2, temperature=1.0)
      >>> features = jnp.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
      >>> targets = jnp.array([0, 0, 0, 1])
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(4))
      >>> logits = head.apply(state, jnp.array([[5.0, 0.0]])).logits
      >>> print(jnp.exp(logits).round(4))
      [[0.75 0.25]]

    References:
      Vinyals et al., `Matching Networks for One Shot Learning
      <https://arxiv.org/abs/1606.04080>`_, 2016.
    """
    check_positive("temperature", temperature)

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)
        scale = jnp.exp(head_params["log_temperature"])
        return {
            "features": features,
            "classes": jnp.argmax(members, axis=-1),  # 0 for padding, without weight.
            "weights": weights.astype(features.dtype),
            "scale": scale.astype(features.dtype),
            "mask": jnp.any(members > 0, axis=0),
        }

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        _attend,
        frozenset({"classes"}),
    )


def _attend(state, features):
    """Computes the logarithm of the total attention to each class."""
    classes, mask = state["classes"], state["mask"]
    cosines = unit(state["features"]) @ unit(features).T  # [S, U]
    weights = jax.lax.stop_gradient(state["weights"])  # Counts are no parameters.
    counts = weights > 0
    log_weights = jnp.log(jnp.where(counts, weights, 1).astype(cosines.dtype))
    scores = state["scale"].astype(cosines.dtype) * cosines + log_weights[:, None]
    # Finite, so that a class of padding only has no infinity to differentiate.
    floor = jnp.finfo(scores.dtype).min / 2
    scores = jnp.where(counts[:, None], scores, floor)
    # A logsumexp over each class, which never needs an array of [S, U, N].
    peaks = jax.ops.segment_max(jax.lax.stop_gradient(scores), classes, len(mask))
    peaks = jnp.maximum(peaks, floor)  # [N, U]; -inf where a class has no members.
    shares = jnp.exp(scores - peaks[classes])  # [S, U]
    masses = jax.ops.segment_sum(shares, classes, len(mask))  # [N, U]
    masses = jnp.where(mask[:, None], masses, 1)
    logits = peaks + jnp.log(masses) - jax.nn.logsumexp(scores, axis=0)[None, :]
    return base.masked_outputs(logits.T.astype(features.dtype), mask)
