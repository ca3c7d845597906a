"""Learned similarity as an output layer (relation networks)."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._mlp import cast


def relation(
    num_features: int, num_classes: int, *, num_hidden: int = 128
) -> base.Head:
    r"""Scores each unit against each class mean by a learned network.

    With :math:`c_n` the mean feature of class n, the logit is that of a network of
    one hidden layer on the two side by side:

    .. math::

      \mathrm{logit}_n(f) = v \cdot \mathrm{relu}(A c_n + B f + a) + b.

    The first layer is taken apart into two products, of `[N, D]` and `[U, D]`, so
    that no pair is formed before `[U, N, H]`. Departures from the paper: vectors and
    dense layers where it has images and convolutions, and means where it has sums,
    so that shot may vary. Its score is the sigmoid of the logit, trained with
    squared error; the loss is the caller's choice, and with the softmax cross
    entropy the head is trained as any other (b then has no effect).

    Args:
      num_features: D.
      num_classes: N, the largest way.
      num_hidden: H.

    Returns:
      A `Head` for one class a unit (`classes`). The state holds the network besides
      the means, so that inner steps may adapt both.

    Raises:
      ValueError: if `num_hidden` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.heads import relation
      >>> head = relation(3, 2, num_hidden=4)
      >>> params = head.init(jax.random.key(0))
      >>> state = head.fit(params, jnp.eye(3), jnp.array([0, 0, 1]), jnp.ones(3))
      >>> print(head.apply(state, jnp.ones((5, 3))).logits.shape)
      (5, 2)

    References:
      Sung et al., `Learning to Compare: Relation Network for Few-Shot Learning
      <https://arxiv.org/abs/1711.06025>`_, 2018.
    """
    if num_hidden < 1:
        raise ValueError(f"num_hidden is 1 or more, got {num_hidden}.")

    def init(key):
        hidden_key, score_key = jax.random.split(key)
        # Drawn as one layer on both, so that the fan-in is that of the pair.
        hidden = jax.nn.initializers.he_normal()(
            hidden_key, (2 * num_features, num_hidden)
        )
        score = jax.nn.initializers.lecun_normal()(score_key, (num_hidden, 1))
        return {
            "class_kernel": hidden[:num_features],
            "unit_kernel": hidden[num_features:],
            "hidden_bias": jnp.zeros(num_hidden),
            "score_kernel": score[:, 0],
            "score_bias": jnp.zeros(()),
        }

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)
        return {
            **cast(head_params, features.dtype),
            "means": class_mean(features, members),  # [N, D]
            "mask": jnp.any(members > 0, axis=0),
        }

    def template(head_params):
        dtype = head_params["class_kernel"].dtype
        return {
            **head_params,
            "means": jnp.zeros((num_classes, num_features), dtype),
            "mask": jnp.zeros(num_classes, bool),
        }

    return base.Head(init, fit, _compare, frozenset({"classes"}), template)


def _compare(state, features):
    """Computes the network's score of each unit with each class."""
    of_classes = state["means"] @ state["class_kernel"]  # [N, H]
    of_units = features @ state["unit_kernel"] + state["hidden_bias"][None, :]  # [U, H]
    hidden = jax.nn.relu(of_classes[None, :, :] + of_units[:, None, :])  # [U, N, H]
    logits = hidden @ state["score_kernel"] + state["score_bias"]  # [U, N]
    return base.masked_outputs(logits, state["mask"])
