"""Choice of the next word from logits."""

import jax
import jax.numpy as jnp


def most_likely(logits: jax.Array) -> jax.Array:
    """Returns the most likely word of each text, the first of equals.

    On CPU a search for the largest number and one for its place run many times as fast
    as XLA's search for both.

    Args:
      logits: `[B, V]`.

    Returns:
      Ids `[B]`, below V whatever the logits.
    """
    V = logits.shape[1]
    below = logits < jnp.max(logits, axis=1, keepdims=True)
    return jnp.min(jnp.where(below, V, jnp.arange(V)[None]), axis=1)


def penalized(logits: jax.Array, seen: jax.Array, penalty: float) -> jax.Array:
    """Lowers the logits of words that have occurred.

    Args:
      logits: `[..., V]`; or log-probabilities, which then no longer sum to 1.
      seen: `[..., V]`, whether a word has occurred.
      penalty: divides positive logits and multiplies negative ones.

    Returns:
      `[..., V]`.

    References:
      Keskar et al., `CTRL: A Conditional Transformer Language Model for Controllable
      Generation <https://arxiv.org/abs/1909.05858>`_, 2019.
    """
    lowered = jnp.where(logits < 0, logits * penalty, logits / penalty)
    return jnp.where(seen, lowered, logits)


def draw(
    logits: jax.Array,
    keys: jax.Array,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float,
) -> jax.Array:
    """Draws a word for each text.

    Args:
      logits: `[B, V]`.
      keys: `[B]`, one of each text, so that no text changes what others draw.
      temperature: divides logits.
      top_k: how many words may be drawn, the most likely ones; None for all.
      top_p: probability to reach with as few of the most likely words as possible.

    Returns:
      Ids `[B]`.
    """
    logits = logits / temperature
    if top_k is None and top_p == 1:
        return jax.vmap(jax.random.categorical)(keys, logits)
    num_words = logits.shape[-1]
    ranked, ids = jax.lax.top_k(logits, min(top_k or num_words, num_words))
    ranked = jnp.where(_in_nucleus(ranked, top_p), ranked, -jnp.inf)
    drawn = jax.vmap(jax.random.categorical)(keys, ranked)
    return jnp.take_along_axis(ids, drawn[:, None], axis=1)[:, 0]


def _in_nucleus(ranked: jax.Array, top_p: float) -> jax.Array:
    """Marks the words, most likely first, that are needed to reach `top_p`.

    References:
      Holtzman et al., `The Curious Case of Neural Text Degeneration
      <https://arxiv.org/abs/1904.09751>`_, 2020.
    """
    probabilities = jax.nn.softmax(ranked)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    # The first word always, whatever rounding does to a small `top_p`.
    return (before < top_p).at[:, 0].set(True)
