"""Attention that can keep what it has read, for tokens that come later.

Letters of shapes: B texts, H heads, d features of a head, D = H * d, R rows (tokens of
the batch that are worked on), l tokens of a text that ask, S slots that are asked.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _modules, _packing

# Far below any score, yet finite: a token that may see nothing sees all of it evenly.
MASKED = -1e9


class Kept(NamedTuple):
    """Keys and values of S slots, each `[B * H, S, d]`."""

    keys: jax.Array
    values: jax.Array

    def with_room(self, num_slots: int) -> "Kept":
        """These slots and as many empty ones behind them."""
        room = (0, 0), (0, num_slots), (0, 0)
        return Kept(*(jnp.pad(x, room) for x in self))

    def written(self, new: "Kept", slot: chex.Numeric) -> "Kept":
        """These slots with those of `new` in place, from number `slot` on."""
        write = jax.lax.dynamic_update_slice_in_dim
        return Kept(*(write(x, y, slot, 1) for x, y in zip(self, new, strict=True)))

    def behind(self, others: "Kept") -> "Kept":
        """These slots behind those of `others`."""
        pairs = zip(others, self, strict=True)
        return Kept(*(jnp.concatenate(pair, axis=1) for pair in pairs))


class Past(NamedTuple):
    """What earlier tokens kept, and the slot of the first that asks now."""

    kept: Kept
    slot: chex.Numeric


class Source(NamedTuple):
    """Tokens `[R, D]` that are asked, and how they lie in their batch."""

    x: jax.Array
    rows: _packing.Rows


class Attention(_modules.Block):
    """Queries, keys, values and output of a layer, without its residual and norm."""

    def attend(
        self,
        asking: Source,
        asked: Source | Kept,
        bias: jax.Array,
        key: chex.PRNGKey | None,
        *,
        scale: chex.Numeric | None = None,
        past: Past | None = None,
    ) -> tuple[jax.Array, Kept]:
        """What tokens make of those they see; called from compact methods only.

        Args:
          asking: the tokens that ask.
          asked: those that answer, or what was kept of them.
          bias: `[B, 1, l, S]` from `bias_of`, added to scores.
          key: for dropout; None for none.
          scale: multiplies scores; None for one over the root of d.
          past: earlier tokens, which answer too.

        Returns:
          `[R, D]` for the tokens that ask, and keys and values of all that answered.
        """
        config, (B, _) = self.config, asking.rows.shape
        D, H = config.hidden_size, config.num_attention_heads
        d = D // H

        def heads(x: jax.Array) -> jax.Array:  # [B, l, D]
            x = x.reshape(B, -1, H, d).transpose(0, 2, 1, 3)
            return x.reshape(B * H, -1, d)

        def project(name: str, source: Source) -> jax.Array:
            return source.rows.unpack(self.dense(name, D)(source.x))

        scale = d**-0.5 if scale is None else scale
        query = project("query", asking) * jnp.asarray(scale, self.dtype)
        if isinstance(asked, Kept):
            kept = asked
        else:
            kept = Kept(heads(project("key", asked)), heads(project("value", asked)))
        if past is not None:
            kept = past.kept.written(kept, past.slot)
        asked_all, bias = kept, jnp.asarray(bias)
        if self.has_variable("params", _extras.PREFIX):
            prefix = self.get_variable("params", _extras.PREFIX)
            before = Kept(*(heads(self.repeated(prefix[n], B)) for n in Kept._fields))
            asked_all = kept.behind(before)
            bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (len(prefix["keys"]), 0)))

        scores = jnp.matmul(heads(query), asked_all.keys.swapaxes(1, 2))
        scores = scores.reshape(B, H, *scores.shape[1:]).astype(bias.dtype) + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights_key, output_key = base.split_key(key)
        rate = config.attention_probs_dropout_prob
        weights = self.dropout(weights, weights_key, rate).reshape(
            B * H, -1, bias.shape[-1]
        )

        mixed = jnp.matmul(weights, asked_all.values)  # [B * H, l, d]
        mixed = mixed.reshape(B, H, -1, d).transpose(0, 2, 1, 3).reshape(B, -1, D)
        mixed = self.dense("output", D)(asking.rows.pack(mixed))  # [R, D]
        return self.adapted(self.dropout(mixed, output_key)), kept

    def repeated(self, x: jax.Array, num: int) -> jax.Array:
        """`[P, D]` for each of `num` texts."""
        return jnp.broadcast_to(jnp.asarray(x, self.dtype)[None], (num, *x.shape))


def bias_of(visible: jax.Array, dtype: Any) -> jax.Array:
    """What is added to the scores of slots that may or may not be seen.

    Args:
      visible: `[B, l, S]`, 1 where a token that asks may see a slot, 0 where not.
      dtype: of computation.

    Returns:
      `[B, 1, l, S]`, at least float32: zero, or far below any score.
    """
    wide = _modules.wide_dtype(dtype)
    return MASKED * (1 - visible.astype(wide))[:, None]


def causal(mask: jax.Array) -> jax.Array:
    """What tokens of a text may see: real ones up to themselves.

    Args:
      mask: `[B, L]`, 1 for a real token and 0 for padding.

    Returns:
      `[B, L, L]`, whether a token (second axis) sees another (third).
    """
    earlier = jnp.tri(mask.shape[1], dtype=bool)
    return mask.astype(bool)[:, None, :] & earlier[None]


def positions(mask: jax.Array) -> jax.Array:
    """The number of each token `[B, L]` among the real ones; any for padding."""
    return jnp.maximum(jnp.cumsum(mask.astype(jnp.int32), axis=1) - 1, 0)
