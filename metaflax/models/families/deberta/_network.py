r"""DeBERTa: a BERT whose scores of attention depend on content and on distance apart.

Letters of shapes: B texts, L tokens of a text, l query tokens of a text, R rows (tokens
of the batch that are worked on), D features, H heads, d features of a head, C = 2 L - 1
distances.

The parameter tree is that of a BERT. In addition there are `relative/embedding` and its
norm, which all layers share; where positions are projected apart,
`layer_0/attention/position_key` and `position_query`; and `layer_0/conv`.

References:
  He et al., `DeBERTa: Decoding-enhanced BERT with Disentangled Attention
  <https://arxiv.org/abs/2006.03654>`_, 2021; `DeBERTaV3
  <https://arxiv.org/abs/2111.09543>`_, 2021.
"""

import functools
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base
from metaflax.models.families.deberta._config import DebertaV2Config
from metaflax.models.layers import _attention, _modules, _packing, _relative
from metaflax.models.layers._attention import KeyValues, split_heads
from metaflax.models.layers._config import ACTIVATIONS
from metaflax.models.layers._encoder import EncoderNetwork, layer_name
from metaflax.models.layers._encoder_blocks import (
    Pooler,
    PostNormLayer,
    Shared,
    TokenEmbeddings,
    of_queries,
    padding_bias,
    sources,
)
from metaflax.models.layers._tokens import Tokens


class Embeddings(TokenEmbeddings):
    """Sum of embeddings, projected to the width of the states, then normalised."""

    config: Any  # A DebertaV2Config.

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        config = self.config
        x = self.word(tokens, rows)  # [R, E]
        if config.position_biased_input:
            x = x + self.position(tokens, rows)
        if config.type_vocab_size:
            x = x + self.segment(tokens, rows)
        x = self.in_context(x)
        if config.embedding_width != config.hidden_size:
            x = self.dense("projection", config.hidden_size, use_bias=False)(x)
        return self.dropout(self.norm(x), key)


class Positions(_modules.Block):
    """Embeddings of distances, `positions` of what layers share: `[C, D]`."""

    config: Any  # A DebertaV2Config.

    @nn.compact
    def __call__(self, tokens: Tokens) -> Shared:
        config, bias = self.config, padding_bias(tokens, self.dtype)
        if not config.relative_attention:
            return Shared(bias)
        span, D = config.span, config.hidden_size
        init = nn.initializers.normal(config.initializer_range)
        table = self.param("embedding", init, (2 * span, D))
        table = table.astype(self.dtype)
        if config.norm_rel_ebd == "layer_norm":
            table = self.norm(table)
        rows = functools.partial(_rows_of_distances, config)
        length, longest = bias.shape[-1], config.longest_text
        return Shared(bias, table[_relative.for_distances(rows, length, longest)])


def _rows_of_distances(config: DebertaV2Config, distance: np.ndarray) -> np.ndarray:
    """Returns the row of the embedding of each distance `[C]`."""
    # Theirs is the distance of the token that attends from the other.
    distance = -distance
    if config.position_buckets > 0:
        distance = _relative.log_buckets(
            distance, num_buckets=config.position_buckets, far=config.farthest
        )
    return np.clip(distance + config.span, 0, 2 * config.span - 1)


class DisentangledAttention(_attention.Attention):
    """Self-attention with scores of content and of distance; residual, then norm."""

    config: Any  # A DebertaV2Config.

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        config = self.config
        D, H = config.hidden_size, config.num_attention_heads
        position_key, key = base.split_key(key)
        queries, tokens = sources(x, rows, only_first)
        dense = {name: self.dense(name, D) for name in ("query", "key", "value")}
        query, keys, values = (
            split_heads(source.rows.unpack(dense[name](source.x)), H)
            for name, source in (("query", queries), ("key", tokens), ("value", tokens))
        )
        scale = jnp.asarray((D // H * (1 + len(config.terms))) ** -0.5, self.dtype)
        query = query * scale
        bias = shared.bias
        if config.terms:
            positions = self.dropout(shared.positions, position_key)
            bias = bias + self.by_distance(
                query, keys, dense, positions, scale, only_first
            ).astype(bias.dtype)
        else:
            bias = of_queries(bias, only_first)
        added = self.mixed(query, KeyValues(keys, values), bias, queries.rows, key)
        return self.norm(queries.x + added)

    def by_distance(
        self,
        query: jax.Array,
        keys: jax.Array,
        dense: dict[str, _modules.Dense],
        positions: jax.Array,
        scale: jax.Array,
        only_first: bool,
    ) -> jax.Array:
        """Computes the scores of distances, `[B, H, l, L]`.

        Args:
          query: `[B * H, l, d]`, scaled.
          keys: `[B * H, L, d]`.
          dense: projections of content.
          positions: embeddings of distances, ascending, `[C, D]`.
          scale: scale of scores.
          only_first: whether the only query token is the first.
        """
        config = self.config
        D, H, L = config.hidden_size, config.num_attention_heads, keys.shape[1]

        def projected(name: str) -> jax.Array:  # [H, C, d]
            shares = config.share_att_key
            module = dense[name] if shares else self.dense(f"position_{name}", D)
            return split_heads(module(positions)[None], H)

        def texts(x: jax.Array) -> jax.Array:
            return x.reshape(-1, H, *x.shape[1:])

        scores = jnp.zeros((), self.dtype)
        if "c2p" in config.terms:
            # Of the first token, only distances of 0 and more.
            by_key = projected("key")[:, L - 1 :] if only_first else projected("key")
            part = jnp.einsum("bhld,hcd->bhlc", texts(query), by_key)
            scores = scores + (part if only_first else _relative.by_pairs(part))
        if "p2c" in config.terms:
            # Rows are those of keys here, whence distances change their sign.
            by_query = projected("query")[:, ::-1] * scale
            part = jnp.einsum("bhkd,hcd->bhkc", texts(keys), by_query)
            part = _relative.by_pairs(part).swapaxes(2, 3)
            scores = scores + of_queries(part, only_first)
        return scores


class Convolution(_modules.Block):
    """Convolution of embeddings, added to the states of the first layer; then norm."""

    config: Any  # A DebertaV2Config.

    @nn.compact
    def __call__(
        self,
        embedded: jax.Array,
        x: jax.Array,
        rows: _packing.Rows,
        visible: jax.Array,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        config = self.config
        D, groups = config.hidden_size, config.conv_groups
        shape = config.conv_kernel_size, D // groups, D
        init = nn.initializers.normal(config.initializer_range)
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", nn.initializers.zeros, (D,))
        texts = rows.unpack(embedded) * visible[:, :, None].astype(self.dtype)
        out = jax.lax.conv_general_dilated(
            texts.astype(self.dtype),
            jnp.asarray(kernel, self.dtype),
            window_strides=(1,),
            padding="SAME",
            dimension_numbers=("NLC", "LIO", "NLC"),
            feature_group_count=groups,
        )
        out = rows.pack(out) + jnp.asarray(bias, self.dtype)[None]
        return self.norm(x + ACTIVATIONS[config.conv_act](self.dropout(out, key)))


class FirstLayer(PostNormLayer):
    """The first layer, with a convolution of its input beside it."""

    config: Any  # A DebertaV2Config.

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        layer_key, conv_key = base.split_key(key)
        states = self.blocks(x, rows, shared, False, layer_key)
        visible = shared.bias[:, 0, 0] == 0  # [B, L]
        conv = Convolution(self.config, self.dtype, name="conv")
        states = conv(x, states, rows, visible, conv_key)
        return rows.first(states) if only_first else states


def _embeddings(config: DebertaV2Config, dtype: Any) -> Embeddings:
    return Embeddings(config, dtype, width=config.embedding_width)


def _layers(config: DebertaV2Config, dtype: Any) -> list[tuple[str, nn.Module]]:
    layer = PostNormLayer(config, dtype, attention=DisentangledAttention)
    layers: list[tuple[str, nn.Module]] = [
        (layer_name(i), layer) for i in range(config.num_hidden_layers)
    ]
    if config.conv_kernel_size:
        first = FirstLayer(config, dtype, attention=DisentangledAttention)
        layers[0] = (layer_name(0), first)
    return layers


def _pooler(config: DebertaV2Config, dtype: Any) -> Pooler:
    return Pooler(config, dtype, activation=config.pooler_hidden_act)


NETWORK = EncoderNetwork(
    embeddings=_embeddings, layers=_layers, relative=Positions, pooler=_pooler
)
