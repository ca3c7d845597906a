"""Encoders, and pooling of token states to one vector for each text."""

from typing import Literal, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _modules
from metaflax.models.layers._tokens import Tokens

Pooling: TypeAlias = Literal["mean", "first", "pooler", "entities", "tokens"]

# Marks of a text that pooling "entities" takes: where head and tail begin.
NUM_ENTITIES = 2


class Encoder(NamedTuple):
    """A model from texts to features, as two pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters of the network.
      apply: `features = apply(params, tokens, key=None)`, `[B, D]`, or `[B, L, D]`
        where tokens have features of their own; no key, no dropout. That of
        `encoder` is a `base.StagedApply`.
      num_features: D.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import models
      >>> bag_of_words = models.Encoder(
      ...     init=lambda key: jax.random.normal(key, (100, 8)),
      ...     apply=lambda table, tokens, key=None: table[tokens.ids].mean(axis=1),
      ...     num_features=8,
      ... )
      >>> tokens = models.Tokens(jnp.array([[7, 9], [9, 7]]), None, jnp.ones((2, 2)))
      >>> features = bag_of_words.apply(bag_of_words.init(jax.random.key(0)), tokens)
      >>> features.shape, bool(jnp.allclose(features[0], features[1]))
      ((2, 8), True)
    """

    init: base.InitFn
    apply: base.ApplyFn
    num_features: int


def num_features(pooling: str, hidden_size: int) -> int:
    """Returns the number of features that a pooling makes of states of a width."""
    return (NUM_ENTITIES if pooling == "entities" else 1) * hidden_size


def pool(
    x: jax.Array,
    tokens: Tokens,
    pooling: Pooling,
    *,
    standardize: bool = False,
    eps: float = 1e-12,
) -> jax.Array:
    """Pools token states to features.

    Args:
      x: states `[B, L, D]`; `[B, D]` of first tokens for "first" and "pooler".
      tokens: the B texts.
      pooling: "mean" over real tokens, or those of `Tokens.pooled`, "entities" for
        the states at both `Tokens.marks`; all others leave `x` as it is.
      standardize: whether features are centred and scaled to unit length.
      eps: added to their variance.

    Returns:
      Features, at least float32, `[B, D]`, or `[B, K, D]` of K means.

    Raises:
      ValueError: for pooling "entities" of texts without two marks, and for other
        pooling than "mean" where `tokens.pooled` says what to average.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import models
      >>> states = jnp.array([[[1.0], [3.0], [9.0]]])
      >>> tokens = models.Tokens(jnp.array([[7, 8, 0]]), None, jnp.array([[1, 1, 0]]))
      >>> print(models.pool(states, tokens, "mean"))
      [[2.]]
    """
    x = _modules.widened(x)
    if tokens.pooled is not None and pooling != "mean":
        raise ValueError(
            f"pooling is {pooling!r}, and the tokens of a phrase are averaged; take"
            " pooling mean, or another pair encoding than phrase."
        )
    if pooling == "mean":
        averaged = tokens.mask if tokens.pooled is None else tokens.pooled
        x = mean_of_tokens(x, jnp.asarray(averaged))
    if pooling == "entities":
        x = states_at_marks(x, tokens.marks)
    return standardized(x, eps) if standardize else x


def mean_of_tokens(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Averages `x` `[B, L, D]` over tokens of a mask, zero where there is none.

    A mask `[B, L]` gives `[B, D]`, and K masks `[B, K, L]` give `[B, K, D]`.
    """
    if mask.ndim > 2:
        counts = jnp.sum(mask, axis=-1, keepdims=True, dtype=x.dtype)  # [B, K, 1]
        return jnp.matmul(mask.astype(x.dtype), x) / jnp.maximum(counts, 1)
    real = mask.astype(x.dtype)[:, :, None]  # [B, L, 1]
    return jnp.sum(x * real, axis=1) / jnp.maximum(jnp.sum(real, axis=1), 1)


def states_at_marks(x: jax.Array, marks: chex.Array | None) -> jax.Array:
    """Returns the states of `x` `[B, L, D]` at both `marks` `[B, 2]`, `[B, 2 D]`.

    Raises:
      ValueError: if texts do not have two marks.
    """
    if marks is None or jnp.shape(marks)[-1] != NUM_ENTITIES:
        raise ValueError(
            'pooling="entities" reads texts with two marked entities; take another'
            " pooling, or a task type that marks them."
        )
    states = jnp.take_along_axis(x, jnp.asarray(marks)[:, :, None], axis=1)
    return states.reshape(x.shape[0], -1)  # [B, 2, D] to [B, 2 D].


def standardized(x: jax.Array, eps: float) -> jax.Array:
    """Centres the features `[B, D]` and gives them unit length."""
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    # The root is taken of a positive number, so that no derivative is infinite.
    scale = jax.lax.rsqrt(variance + max(eps, 1e-12))
    return x * scale * x.shape[-1] ** -0.5
