"""Texts with choices, whose likelihoods a language model compares.

Letters of shapes: U texts, N choices of a text, L tokens of a row, V words, F texts
without content.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.base import _units
from metaflax.models.layers import _attention
from metaflax.models.layers._tokens import Tokens


class Choices(NamedTuple):
    """Texts with their choices, each text with all of its choices in one row.

    The choices of a text branch off what they share, usually the prompt: a token
    attends to the shared ones and to those of its own choice, so that the prompt is
    encoded once, and choices do not affect each other.

    Attributes:
      tokens: the rows, `[U, L]`.
      branches: `[U, L]` int32, n for tokens of choice n, counted from 1, and 0 for
        tokens that all choices share.
      weights: `[U, L]`, how much the log-probability of each token counts in the score
        of its choice; 0 for those that are not scored.
      present: `[U, N]` bool, which choices there are.
      content_free: the same choices of F texts without content, `[U, F, ...]`, by
        which scores are calibrated; None for no calibration.
    """

    tokens: Tokens
    branches: chex.Array
    weights: chex.Array
    present: chex.Array
    content_free: "Choices | None" = None

    def concatenate(self, other: "Choices") -> "Choices":
        """Appends the texts of `other`, of the same N; pads to the longer L."""
        content_free = None
        if self.content_free is not None and other.content_free is not None:
            content_free = jax.tree.map(
                lambda *x: jnp.concatenate(x), self.content_free, other.content_free
            )
        tokens = self.tokens.concatenate(other.tokens)
        length = jnp.shape(tokens.ids)[1]

        def joined(*parts: chex.Array) -> jax.Array:
            rooms = [((0, 0), (0, length - jnp.shape(x)[1])) for x in parts]
            return jnp.concatenate(list(map(jnp.pad, parts, rooms)))

        return Choices(
            tokens,
            joined(self.branches, other.branches),
            joined(self.weights, other.weights),
            jnp.concatenate([self.present, other.present]),
            content_free,
        )

    def unpacked(self) -> "Choices":
        """Returns the same texts without packing: every leaf is `[U, ...]`."""
        return self._replace(tokens=self.tokens.unpacked())

    def visible(self) -> jax.Array:
        """Computes which tokens of its row each token attends to, `[U, L, L]`."""
        branches = jnp.asarray(self.branches)
        same = branches[:, None] == branches[:, :, None]
        shared = (branches == 0)[:, None]
        mask = jnp.asarray(self.tokens.mask)
        return _attention.causal(mask) & (same | shared)

    def of_choice(self, numbers: jax.Array) -> Tokens:
        """Returns the rows with the tokens of one choice each, of `numbers` `[U]`."""
        branches = jnp.asarray(self.branches)
        kept = (branches == 0) | (branches == numbers[:, None] + 1)
        mask = jnp.asarray(self.tokens.mask).astype(bool) & kept
        return self.tokens._replace(mask=mask.astype(jnp.int32))


def choice_outputs(choices: Choices, logits: jax.Array) -> base.ClassOutputs:
    """Scores choices by the weighted log-probabilities of their tokens.

    Args:
      choices: the texts with their choices.
      logits: `[U, L, V]`, of the token after each.

    Returns:
      The scores `[U, N]`; absent choices are out of reach.
    """
    visible = choices.visible()
    order = jnp.arange(visible.shape[-1])
    earlier = visible & (order[None, None] < order[None, :, None])
    # The last token that one attends to predicts it; the first has none.
    parents = jnp.max(jnp.where(earlier, order[None, None], 0), axis=-1)  # [U, L]
    ids = jnp.asarray(choices.tokens.ids)
    rows = jnp.arange(len(ids))[:, None]
    log_total = jax.nn.logsumexp(logits, axis=-1)  # [U, L]
    each = logits[rows, parents, ids] - log_total[rows, parents]
    weighted = jnp.where(choices.weights > 0, each * choices.weights, 0)
    present = jnp.asarray(choices.present)
    of_choice = jax.nn.one_hot(
        jnp.asarray(choices.branches) - 1, present.shape[1], dtype=logits.dtype
    )
    scores = jnp.einsum("ul,uln->un", weighted.astype(logits.dtype), of_choice)
    return _units.choice_outputs(scores, present)


def calibrated(outputs: base.ClassOutputs, content_free: jax.Array, present: Any):
    """Calibrates scores by those of texts without content (contextual calibration).

    Args:
      outputs: scores `[U, N]`.
      content_free: scores of F texts without content, `[U, F, N]`.
      present: mask of the choices of each text, `[U, N]`.

    Returns:
      Scores whose softmax is that of the outputs divided by the mean probabilities
      without content, and normalised.

    References:
      Zhao et al., `Calibrate Before Use: Improving Few-Shot Performance of Language
      Models <https://arxiv.org/abs/2102.09690>`_, 2021.
    """
    log_shares = jax.nn.log_softmax(content_free, axis=-1)
    num_texts = content_free.shape[1]
    prior = jax.nn.logsumexp(log_shares, axis=1) - jnp.log(
        jnp.asarray(num_texts, log_shares.dtype)
    )
    return outputs._replace(
        logits=outputs.logits - jnp.where(present, prior, jnp.zeros_like(prior))
    )
