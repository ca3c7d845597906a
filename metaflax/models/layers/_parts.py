"""Encoders of rows that hold several sequences, each encoded by itself."""

import math
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from metaflax import base, linalg, tree
from metaflax.models.layers._pooling import Encoder
from metaflax.models.layers._tokens import Tokens


def two_towers(encoder: Encoder) -> Encoder:
    """Encodes the two texts of a pair apart and compares their features.

    Args:
      encoder: encoder of single texts, to D features.

    Returns:
      An encoder of rows of two sequences, to the features of `compared`.

    References:
      Conneau et al., `Supervised Learning of Universal Sentence Representations from
      Natural Language Inference Data <https://arxiv.org/abs/1705.02364>`_, 2017;
      Reimers and Gurevych, `Sentence-BERT <https://arxiv.org/abs/1908.10084>`_, 2019.
    """
    return of_parts(
        encoder,
        2,
        lambda x, present: compared(x[:, 0], x[:, 1]),
        NUM_BLOCKS * encoder.num_features,
    )


def sequence_and_towers(encoder: Encoder) -> Encoder:
    """Encodes a pair as one sequence and in two towers, and joins the features.

    Args:
      encoder: encoder of single sequences, to D features.

    Returns:
      An encoder of rows of three sequences, the pair and each of its texts.
    """

    def joined(x: jax.Array, present: jax.Array) -> jax.Array:
        del present  # All three always are.
        return jnp.concatenate([x[:, 0], compared(x[:, 1], x[:, 2])], axis=-1)

    return of_parts(encoder, 3, joined, (1 + NUM_BLOCKS) * encoder.num_features)


def phrase_in_text(encoder: Encoder) -> Encoder:
    """Encodes a phrase where it occurs in a text, and by itself, and joins the two.

    Args:
      encoder: encoder of single texts, to D features that are means of tokens.

    Returns:
      An encoder of rows of two sequences, the text and the phrase, to `[B, 2 D]`. The
      first half averages the tokens of the phrase in the text, as the last two
      `Tokens.marks` say, the second half those of the phrase alone; each is of unit
      length.
    """

    def joined(x: jax.Array, present: jax.Array) -> jax.Array:
        del present  # Both always are.
        return linalg.unit(x).reshape(x.shape[0], -1)  # [B, 2, D] to [B, 2 D].

    return of_parts(encoder, 2, joined, 2 * encoder.num_features, split=_with_phrase)


def _with_phrase(tokens: Tokens, num_parts: int) -> Tokens:
    """Splits rows, where the first part averages the tokens between two marks."""
    marks = jnp.asarray(tokens.marks)  # [B, P + 2]
    parts = apart(tokens._replace(marks=marks[:, :num_parts]), num_parts)
    length = jnp.shape(parts.mask)[-1]
    mask = jnp.asarray(parts.mask).reshape(-1, num_parts, length)  # [B, P, L]
    places = jnp.arange(length)[None, :]  # [1, L]
    inside = (places >= marks[:, -2, None]) & (places < marks[:, -1, None])  # [B, L]
    pooled = mask.at[:, 0].multiply(inside.astype(mask.dtype))
    return parts._replace(pooled=pooled.reshape(-1, length))


# Blocks of features of `compared`.
NUM_BLOCKS = 2
# Weight of the similarity in distances, beside the products that it is the sum of.
# Chosen on validation domains of entailment, likeness and students' answers.
SIMILARITY_WEIGHT = 2.0


def compared(u: jax.Array, v: jax.Array) -> jax.Array:
    r"""Returns `[u * v + c u^T v, |u - v|]`, `[B, 2 D]`, of features at unit length.

    With few examples the similarity of two texts is the most informative feature, but
    as a mere sum of the products it is dominated by them. With

    .. math:: c = (\sqrt{1 + w^2 D} - 1) / D

    squared distances of the first block are those of the products, plus those of the
    similarity times :math:`w^2`, as if it were a feature of its own of weight w.

    Departures from Conneau et al.: the similarity counts by itself, and `u` and `v` are
    left out. In few examples these tell the topic, and not how the texts are related.
    """
    u, v = linalg.unit(u), linalg.unit(v)
    products = u * v
    size = u.shape[-1]
    share = (math.sqrt(1 + SIMILARITY_WEIGHT**2 * size) - 1) / size
    similarity = jnp.sum(products, axis=-1, keepdims=True)
    return jnp.concatenate([products + share * similarity, jnp.abs(u - v)], axis=-1)


def of_parts(
    encoder: Encoder,
    num_parts: int | None,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    num_features: int,
    *,
    split: Callable[[Tokens, int], Tokens] | None = None,
) -> Encoder:
    """Makes an encoder of rows of P sequences from an encoder of one.

    Args:
      encoder: encoder of single sequences, to D features.
      num_parts: P; None for the number of `Tokens.marks` `[B, P]`, which say where
        each sequence of a row begins.
      combine: `features = combine(x, present)`, from `[B, P, D]` to `[B, ..., F]`;
        `present` `[B, P]` is false for sequences without tokens.
      num_features: F.
      split: `parts = split(tokens, num_parts)`, `apart` by default.

    Returns:
      An encoder with the parameters and the stages of `encoder`.
    """

    def run(params, tokens, states, key, first, last):
        B, P = jnp.shape(tokens.ids)[0], num_parts or jnp.shape(tokens.marks)[1]
        below = None
        if states is not None:
            below = states.reshape(-1, *states.shape[2:])  # [B, P, ...] to [B P, ...].
        parts = (split or apart)(tokens, P)
        x = staged.run(params, parts, below, key, first, last)
        x = x.reshape(B, P, *x.shape[1:])
        if last < len(staged.reads):
            return x
        return combine(x, jnp.any(jnp.asarray(parts.mask) > 0, axis=1).reshape(B, P))

    staged = in_stages(encoder.apply)
    apply = base.StagedApply(staged.reads, run, staged.examples_independent)
    return Encoder(encoder.init, apply, num_features)


def apart(tokens: Tokens, num_parts: int, length: int | None = None) -> Tokens:
    """Splits rows `[B, L]` of P sequences into rows `[B P, length]` of one.

    Packed rows stay packed: the real tokens are the same ones in the same order.
    Without a `length`, and where P is above 2, no sequence is longer than half of a
    padded row, as is so where the first holds all the others.
    """
    B, L = jnp.shape(tokens.ids)
    if length is None:
        length = L if num_parts <= 2 else -(-L // 2)
    lengths = jnp.sum(jnp.asarray(tokens.mask), axis=1)  # [B]
    # Rows of padding may have any marks.
    starts = jnp.minimum(jnp.asarray(tokens.marks), lengths[:, None])  # [B, P]
    ends = jnp.concatenate([starts[:, 1:], lengths[:, None]], axis=1)
    steps = jnp.arange(length)[None, None, :]
    sources = jnp.minimum(starts[..., None] + steps, L - 1).reshape(B, -1)
    mask = (steps < (ends - starts)[..., None]).reshape(-1, length)  # [B P, length]

    def split(x: Any) -> jax.Array:
        each = jnp.take_along_axis(jnp.asarray(x), sources, axis=1)
        return jnp.where(mask, each.reshape(mask.shape), 0)

    return Tokens(
        split(tokens.ids),
        None if tokens.types is None else split(tokens.types),
        mask.astype(jnp.int32),
        None if tokens.packed is None else _moved(tokens, starts, length),
    )


def _moved(tokens: Tokens, starts: jax.Array, length: int) -> jax.Array:
    """Returns the places of the packed tokens in rows of one sequence."""
    B, L = jnp.shape(tokens.ids)
    P = starts.shape[1]
    packed = jnp.asarray(tokens.packed)  # [M]
    rows, places = jnp.minimum(packed // L, B - 1), packed % L
    parts = jnp.sum(places[:, None] >= starts[rows], axis=1) - 1  # [M]
    moved = (rows * P + parts) * length + places - starts[rows, parts]
    return jnp.where(packed < B * L, moved, B * P * length)


def in_stages(apply_fn: base.ApplyFn) -> base.StagedApply:
    """Returns an encoder in stages, in a single one where it has none."""
    if isinstance(apply_fn, base.StagedApply):
        return apply_fn

    def run(
        params: Any, tokens: Any, states: Any, key: chex.PRNGKey | None, *_: int
    ) -> Any:
        del states
        return apply_fn(params, tokens, key)

    return base.StagedApply((tree.everything,), run)
