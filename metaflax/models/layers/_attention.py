"""Attention with a key-value cache.

Letters of shapes: B texts, H heads, d features of a head, D = H * d, R rows (tokens of
the batch that are worked on), l query tokens of a text, S key-value slots.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _modules, _packing

# Far below any score, yet finite: a token without visible slots attends to all evenly.
MASKED = -1e9


class KeyValues(NamedTuple):
    """Keys and values of S slots, each `[B * H, S, d]`."""

    keys: jax.Array
    values: jax.Array

    def padded(self, num_slots: int) -> "KeyValues":
        """Appends empty slots."""
        room = (0, 0), (0, num_slots), (0, 0)
        return KeyValues(*(jnp.pad(x, room) for x in self))

    def updated(self, new: "KeyValues", slot: chex.Numeric) -> "KeyValues":
        """Writes new keys and values, from number `slot` on."""
        write = jax.lax.dynamic_update_slice_in_dim
        return KeyValues(
            *(write(x, y, slot, 1) for x, y in zip(self, new, strict=True))
        )

    def prepended(self, others: "KeyValues") -> "KeyValues":
        """Puts those of `others` before these slots."""
        pairs = zip(others, self, strict=True)
        return KeyValues(*(jnp.concatenate(pair, axis=1) for pair in pairs))


class Past(NamedTuple):
    """Keys and values of earlier tokens, and the slot of the first new one."""

    kept: KeyValues
    slot: chex.Numeric


class Source(NamedTuple):
    """States of tokens `[R, D]`, and how they lie in their batch."""

    x: jax.Array
    rows: _packing.Rows


class Attention(_modules.Block):
    """Multi-head attention of a layer, without its residual and norm."""

    def attend(
        self,
        queries: Source,
        context: Source | KeyValues,
        bias: jax.Array,
        key: chex.PRNGKey | None,
        *,
        scale: chex.Numeric | None = None,
        past: Past | None = None,
    ) -> tuple[jax.Array, KeyValues]:
        """Computes attention; called from compact methods only.

        Args:
          queries: states of the query tokens.
          context: states of the tokens attended to, or their keys and values.
          bias: `[B, 1, l, S]` from `bias_of`, added to scores.
          key: for dropout; None for none.
          scale: multiplies scores; None for one over the root of d.
          past: earlier tokens, attended to as well.

        Returns:
          `[R, D]` for the query tokens, and keys and values of all tokens attended to.
        """
        config, (B, _) = self.config, queries.rows.shape
        D, H = config.hidden_size, config.num_attention_heads
        d = D // H

        def heads(x: jax.Array) -> jax.Array:  # [B, l, D]
            x = x.reshape(B, -1, H, d).transpose(0, 2, 1, 3)
            return x.reshape(B * H, -1, d)

        def project(name: str, source: Source) -> jax.Array:
            return source.rows.unpack(self.dense(name, D)(source.x))

        scale = d**-0.5 if scale is None else scale
        query = project("query", queries) * jnp.asarray(scale, self.dtype)
        if isinstance(context, KeyValues):
            kept = context
        else:
            kept = KeyValues(
                heads(project("key", context)), heads(project("value", context))
            )
        if past is not None:
            kept = past.kept.updated(kept, past.slot)
        visible_kv, bias = kept, jnp.asarray(bias)
        if self.has_variable("params", _extras.PREFIX):
            prefix = self.get_variable("params", _extras.PREFIX)
            before = KeyValues(
                *(heads(self.repeated(prefix[n], B)) for n in KeyValues._fields)
            )
            visible_kv = kept.prepended(before)
            bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (len(prefix["keys"]), 0)))

        scores = jnp.matmul(heads(query), visible_kv.keys.swapaxes(1, 2))
        scores = scores.reshape(B, H, *scores.shape[1:]).astype(bias.dtype) + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights_key, output_key = base.split_key(key)
        rate = config.attention_probs_dropout_prob
        weights = self.dropout(weights, weights_key, rate).reshape(
            B * H, -1, bias.shape[-1]
        )

        mixed = jnp.matmul(weights, visible_kv.values)  # [B * H, l, d]
        mixed = mixed.reshape(B, H, -1, d).transpose(0, 2, 1, 3).reshape(B, -1, D)
        mixed = self.dense("output", D)(queries.rows.pack(mixed))  # [R, D]
        return self.adapted(self.dropout(mixed, output_key)), kept

    def repeated(self, x: jax.Array, num: int) -> jax.Array:
        """Repeats `[P, D]` for each of `num` texts."""
        return jnp.broadcast_to(jnp.asarray(x, self.dtype)[None], (num, *x.shape))


def bias_of(visible: jax.Array, dtype: Any) -> jax.Array:
    """Computes the bias of attention scores from visibility.

    Args:
      visible: `[B, l, S]`, 1 where a query token attends to a slot, 0 elsewhere.
      dtype: of computation.

    Returns:
      `[B, 1, l, S]`, at least float32: zero, or far below any score.
    """
    wide = _modules.wide_dtype(dtype)
    return MASKED * (1 - visible.astype(wide))[:, None]


def causal(mask: jax.Array) -> jax.Array:
    """Computes the causal mask: real tokens up to each token.

    Args:
      mask: `[B, L]`, 1 for a real token and 0 for padding.

    Returns:
      `[B, L, L]`, whether a token (second axis) attends to another (third).
    """
    earlier = jnp.tri(mask.shape[1], dtype=bool)
    return mask.astype(bool)[:, None, :] & earlier[None]


def positions(mask: jax.Array) -> jax.Array:
    """Numbers the real tokens of each text `[B, L]`; arbitrary at padding."""
    return jnp.maximum(jnp.cumsum(mask.astype(jnp.int32), axis=1) - 1, 0)
