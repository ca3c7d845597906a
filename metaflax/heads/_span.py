"""Output layer for the start and end tokens of an answer."""

import jax
import jax.numpy as jnp

from metaflax import base


def span_outputs(state, features):
    """Computes `features @ kernel + bias`, `[S, L, D]` to `[S, L, 2]`."""
    return features @ state["kernel"] + state["bias"][None, None, :]


def span(num_features: int) -> base.Head:
    """Linear layer from tokens to start and end logits with a learned initialisation.

    The first logit is for an answer that begins at the token, the second for one that
    ends there. Unlike classes, the two mean the same in every task, so that the outer
    loop learns to answer questions, and not only to adapt.

    Args:
      num_features: D.

    Returns:
      A `Head` for `spans`: its features are those of the tokens of texts, `[S, L, D]`,
      its targets codes `[S, L]`, and its state a `kernel` `[D, 2]`, drawn normal with
      deviation 0.02 as BERT does, and a `bias` `[2]` from 0.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.heads import span
      >>> head = span(4)
      >>> state = head.fit(head.init(jax.random.key(0)), None, None, None)
      >>> head.apply(state, jnp.ones((3, 7, 4))).shape
      (3, 7, 2)

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for
      Language Understanding <https://arxiv.org/abs/1810.04805>`_, 2018.
    """

    def init(key):
        kernel = 0.02 * jax.random.normal(key, (num_features, 2))
        return {"kernel": kernel, "bias": jnp.zeros(2)}

    def fit(head_params, features, targets, weights):
        del features, targets, weights  # The start depends on none of them.
        return head_params

    def template(head_params):
        return jax.tree.map(jnp.zeros_like, head_params)

    return base.Head(
        init, fit, span_outputs, frozenset({"spans"}), template, is_linear=True
    )
