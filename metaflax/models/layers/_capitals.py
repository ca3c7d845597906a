"""Encoder with a token feature for words that begin with a capital."""

import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers._parts import in_stages
from metaflax.models.layers._pooling import Encoder

# Types of tokens: those that begin no word, and first tokens of words.
NO_WORD, OTHER_WORD, CAPITAL_WORD = range(3)
# Weight of the feature beside states of unit length. Chosen on validation episodes of
# slots, of groups and corporations in posts, and of entities in Wikipedia.
CAPITAL_WEIGHT = 0.5


def with_capitals(encoder: Encoder) -> Encoder:
    """Adds a feature to each token: whether its word begins with a capital.

    Args:
      encoder: encoder of texts, to D features a token.

    Returns:
      An encoder to `[B, L, D + 1]`, with the parameters and the stages of `encoder`,
      which sees tokens of one type. The last feature is `CAPITAL_WEIGHT` for tokens of
      the type `CAPITAL_WORD`, and 0 for all others.

    References:
      Collobert et al., `Natural Language Processing (almost) from Scratch
      <https://arxiv.org/abs/1103.0398>`_, 2011, whose words are in lower case beside a
      feature of their capitals. Departure: it is not learned.
    """
    below = in_stages(encoder.apply)

    def run(params, tokens, states, key, first, last):
        plain = tokens._replace(types=None)
        x = below.run(params, plain, states, key, first, last)
        if last < len(below.reads):
            return x
        capitals = jnp.zeros(x.shape[:-1], x.dtype)
        if tokens.types is not None:
            is_capital = jnp.asarray(tokens.types) == CAPITAL_WORD
            capitals = CAPITAL_WEIGHT * is_capital.astype(x.dtype)
        return jnp.concatenate([x, capitals[..., None]], axis=-1)

    apply = base.StagedApply(below.reads, run, below.examples_independent)
    return Encoder(encoder.init, apply, encoder.num_features + 1)
