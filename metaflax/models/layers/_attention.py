"""Attention with a key-value cache.

Letters of shapes: B texts, H heads, G heads with keys and values of their own, d
features of a head, D features, R rows (tokens of the batch that are worked on), l query
tokens of a text, S key-value slots, C slots that all texts share.
"""

from typing import Any, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _modules, _packing, _products

# Far below any score, yet finite: a token without visible slots attends to all evenly.
MASKED = -1e9
# Query rows of a head at a step of generation: one, or those that share its keys.
FEW_ROWS = 8


class KeyValues(NamedTuple):
    """Keys and values of S slots, each `[B * H, S, d]`, of H heads or of fewer."""

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

    def scores(self, query: jax.Array, num_texts: int) -> jax.Array:
        """Computes products `[B, H, l, S]` of queries `[B * H, l, d]` with the keys."""
        num_heads = query.shape[0] // num_texts
        # Queries that share keys and values are rows of one product.
        grouped = query.reshape(self.keys.shape[0], -1, query.shape[-1])
        scores = per_head(grouped, self.keys.swapaxes(1, 2), num_texts)
        return scores.reshape(num_texts, num_heads, -1, scores.shape[-1])

    def mix(self, weights: jax.Array) -> jax.Array:
        """Sums `[B * H, l, d]` of values, weighted by `[B, H, l, S]`."""
        num_texts, num_heads, _, num_slots = weights.shape
        grouped = weights.reshape(self.values.shape[0], -1, num_slots)
        mixed = per_head(grouped, self.values, num_texts)
        return mixed.reshape(num_texts * num_heads, -1, mixed.shape[-1])


class SharedKeyValues(NamedTuple):
    """Slots that all texts share, of one context, before those of each text.

    The shared ones are stored once, however many texts attend to them.

    Attributes:
      shared: those of the context, `[G, C, d]`.
      per_text: those of each text, `[B * G, S, d]`; None before there are any.
    """

    shared: KeyValues
    per_text: KeyValues | None = None

    @property
    def keys(self) -> jax.Array:
        """Keys of the texts' own slots."""
        assert self.per_text is not None
        return self.per_text.keys

    def updated(self, new: KeyValues, slot: chex.Numeric) -> "SharedKeyValues":
        """Writes new keys and values, from number `slot` of the texts' own on."""
        per_text = new if self.per_text is None else self.per_text.updated(new, slot)
        return self._replace(per_text=per_text)

    def prepended(self, others: KeyValues) -> "SharedKeyValues":
        """Puts those of `others`, the same for all texts, before all slots."""
        num_heads = len(self.shared.keys)
        first = KeyValues(*(x[:num_heads] for x in others))
        return self._replace(shared=self.shared.prepended(first))

    def scores(self, query: jax.Array, num_texts: int) -> jax.Array:
        """Computes products `[B, H, l, C + S]` of queries `[B * H, l, d]` with keys."""
        assert self.per_text is not None
        keys = self.shared.keys
        grouped = query.reshape(num_texts, len(keys), -1, query.shape[-1])
        shared = jnp.einsum("bgnd,gcd->bgnc", grouped, keys)
        per_text = self.per_text.scores(query, num_texts)
        shared = shared.reshape(*per_text.shape[:3], keys.shape[1])
        return jnp.concatenate([shared, per_text], axis=-1)

    def mix(self, weights: jax.Array) -> jax.Array:
        """Sums `[B * H, l, d]` of values, weighted by `[B, H, l, C + S]`."""
        assert self.per_text is not None
        values = self.shared.values
        num_shared = values.shape[1]
        of_shared = weights[..., :num_shared]
        num_texts = len(weights)
        grouped = of_shared.reshape(num_texts, len(values), -1, num_shared)
        shared = jnp.einsum("bgnc,gcd->bgnd", grouped, values)
        per_text = self.per_text.mix(weights[..., num_shared:])
        return shared.reshape(per_text.shape) + per_text


Slots: TypeAlias = KeyValues | SharedKeyValues


class Past(NamedTuple):
    """Keys and values of earlier tokens, and the slot of the first new one."""

    kept: Slots
    slot: chex.Numeric


class Source(NamedTuple):
    """States of tokens `[R, D]`, and their layout in the batch."""

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
        head_size: int | None = None,
        use_bias: bool = True,
    ) -> tuple[jax.Array, Slots]:
        """Computes attention; called from compact methods only.

        Args:
          queries: states of the query tokens.
          context: states of the tokens attended to, or their keys and values.
          bias: `[B, 1, l, S]` from `bias_of`, added to scores.
          key: for dropout; None for none.
          scale: multiplies scores; None for one over the root of d.
          past: earlier tokens, attended to as well.
          head_size: d; None for D / H.
          use_bias: whether projections have biases.

        Returns:
          `[R, D]` for the query tokens, and keys and values of all tokens attended to.
        """
        config = self.config
        H = config.num_attention_heads
        d = config.hidden_size // H if head_size is None else head_size

        def project(name: str, source: Source) -> jax.Array:
            dense = self.dense(name, H * d, use_bias=use_bias)
            return source.rows.unpack(dense(source.x))

        scale = d**-0.5 if scale is None else scale
        query = project("query", queries) * jnp.asarray(scale, self.dtype)
        if isinstance(context, KeyValues):
            new = context
        else:
            new = KeyValues(
                *(split_heads(project(name, context), H) for name in ("key", "value"))
            )
        kept = new if past is None else past.kept.updated(new, past.slot)
        query = split_heads(query, H)
        mixed = self.mixed(query, kept, bias, queries.rows, key, use_bias=use_bias)
        return mixed, kept

    def mixed(
        self,
        query: jax.Array,
        slots: Slots,
        bias: jax.Array,
        rows: _packing.Rows,
        key: chex.PRNGKey | None,
        *,
        use_bias: bool = True,
    ) -> jax.Array:
        """Mixes values by scores, and projects; called from compact methods only.

        Args:
          query: `[B * H, l, d]`, scaled.
          slots: keys and values, of H heads or of fewer: consecutive queries share one.
          bias: `[B, 1, l, S]` from `bias_of`, added to scores.
          rows: layout of the query tokens in the batch.
          key: for dropout; None for none.
          use_bias: whether the projection has a bias.

        Returns:
          `[R, D]` for the query tokens.
        """
        config, num_texts = self.config, rows.shape[0]
        bias = jnp.asarray(bias)
        if self.has_variable("params", _extras.PREFIX):
            prefix = self.get_variable("params", _extras.PREFIX)
            repeated = (self.repeated(prefix[n], num_texts) for n in KeyValues._fields)
            num_kv = slots.keys.shape[0] // num_texts
            before = KeyValues(*(split_heads(x, num_kv) for x in repeated))
            slots = slots.prepended(before)
            bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (len(prefix["keys"]), 0)))

        scores = slots.scores(query, num_texts)
        weights = jax.nn.softmax(scores.astype(bias.dtype) + bias).astype(self.dtype)
        weights_key, output_key = base.split_key(key)
        rate = config.attention_probs_dropout_prob
        weights = self.dropout(weights, weights_key, rate)

        mixed = slots.mix(weights)
        mixed = rows.pack(merge_heads(mixed, num_texts))  # [R, H * d]
        dense = self.dense("output", config.hidden_size, use_bias=use_bias)
        return self.adapted(self.dropout(dense(mixed), output_key))

    def repeated(self, x: jax.Array, num: int) -> jax.Array:
        """Repeats `[P, D]` for each of `num` texts."""
        return jnp.broadcast_to(jnp.asarray(x, self.dtype)[None], (num, *x.shape))


def per_head(x: jax.Array, y: jax.Array, num_texts: int) -> jax.Array:
    """Multiplies `[B * G, n, k]` and `[B * G, k, m]` for each text and head.

    XLA's kernels for CPU compute products of many rows faster with texts and heads on
    separate axes, by a third where texts are long. For few rows, as those of a token in
    generation, they would copy all keys of the cache at every token.
    """
    num_rows = x.shape[1]  # Symbolic in an exported graph.
    if isinstance(num_rows, int) and num_rows <= FEW_ROWS:
        return _products.matmul(x, y)
    x, y = (z.reshape(num_texts, -1, *z.shape[1:]) for z in (x, y))
    product = _products.matmul(x, y)
    return product.reshape(-1, *product.shape[2:])


def split_heads(x: jax.Array, num_heads: int) -> jax.Array:
    """Splits features into heads: `[B, l, H * d]` to `[B * H, l, d]`."""
    num_texts, length, _ = x.shape
    x = x.reshape(num_texts, length, num_heads, -1).transpose(0, 2, 1, 3)
    return x.reshape(num_texts * num_heads, length, -1)


def merge_heads(x: jax.Array, num_texts: int) -> jax.Array:
    """Joins the features of heads: `[B * H, l, d]` to `[B, l, H * d]`."""
    _, length, num_features = x.shape
    x = x.reshape(num_texts, -1, length, num_features).transpose(0, 2, 1, 3)
    return x.reshape(num_texts, length, -1)


def bias_of(visible: jax.Array, dtype: Any) -> jax.Array:
    """Computes the bias of attention scores from visibility.

    Args:
      visible: `[B, l, S]`, 1 where a query token attends to a slot, 0 elsewhere.
      dtype: dtype of computation.

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
