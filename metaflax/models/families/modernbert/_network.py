"""ModernBERT: rotary positions, attention to near tokens, gated feed-forward blocks.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features.

Norms come before blocks, and one behind the last layer; the first layer's attention has
none. The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/gate/kernel`, `norm/scale`, `pooler/dense/kernel`; biases exist if the
configuration has them.

References:
  Warner et al., `Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder
  <https://arxiv.org/abs/2412.13663>`_, 2024.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.modernbert._config import ModernBertConfig
from metaflax.models.layers import _attention, _modules, _packing, _rotary
from metaflax.models.layers._attention import KeyValues, split_heads
from metaflax.models.layers._config import ACTIVATIONS
from metaflax.models.layers._encoder import EncoderNetwork, layer_name
from metaflax.models.layers._encoder_blocks import (
    Shared,
    TokenEmbeddings,
    of_queries,
    padding_bias,
    sources,
)
from metaflax.models.layers._layer_types import FULL, SLIDING
from metaflax.models.layers._pooling import Pooling
from metaflax.models.layers._tokens import Tokens


class Inputs(NamedTuple):
    """Inputs of layers of one type.

    Attributes:
      bias: `[B, 1, 1 or L, L]`, added to the scores of attention.
      angles: rotary positions of tokens.
    """

    bias: jax.Array
    angles: _rotary.Angles


class Embeddings(TokenEmbeddings):
    """Word embeddings, normalised."""

    config: Any  # A ModernBertConfig.

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        x = self.in_context(self.word(tokens, rows))
        x = self.norm(x, use_bias=self.config.norm_bias)
        return self.dropout(x, key, self.config.embedding_dropout)


class Positions(nn.Module):
    """Visibility and rotary positions of tokens, `Inputs` by the type of a layer.

    Attributes:
      config: sizes and rates.
      dtype: dtype of computation.
    """

    config: ModernBertConfig
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Tokens) -> Shared:
        config, bias = self.config, padding_bias(tokens, self.dtype)
        L, d = bias.shape[-1], config.hidden_size // config.num_attention_heads
        # Positions count slots: only their differences matter.
        slots = jnp.arange(L)[None]
        distance = jnp.arange(L)[:, None] - jnp.arange(L)[None]
        far = (jnp.abs(distance) > config.window).astype(bias.dtype)
        local = jnp.minimum(bias, _attention.MASKED * far[None, None])
        kinds = {
            FULL: (bias, config.global_positions),
            SLIDING: (local, config.local_positions),
        }
        return Shared(
            bias,
            {
                kind: Inputs(visible, positions.angles(slots, d, self.dtype))
                for kind, (visible, positions) in kinds.items()
            },
        )


class Attention(_attention.Attention):
    """Self-attention with rotary positions, norm before, and residual.

    Attributes:
      kind: type of the layer.
      normed: whether there is a norm.
    """

    config: Any  # A ModernBertConfig.
    kind: str = FULL
    normed: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        config, inputs = self.config, shared.positions[self.kind]
        D, H, use_bias = (
            config.hidden_size,
            config.num_attention_heads,
            config.attention_bias,
        )
        normed = self.norm(x, use_bias=config.norm_bias) if self.normed else x
        queries, tokens = sources(normed, rows, only_first)

        def heads(name: str, source: _attention.Source) -> jax.Array:
            projected = self.dense(name, D, use_bias=use_bias)(source.x)
            return split_heads(source.rows.unpack(projected), H)

        scale = jnp.asarray((D // H) ** -0.5, self.dtype)
        query = heads("query", queries) * scale
        of_query = jax.tree.map(
            lambda angle: angle[:, :1] if only_first else angle, inputs.angles
        )
        slots = KeyValues(
            _rotary.rotate(heads("key", tokens), inputs.angles), heads("value", tokens)
        )
        added = self.mixed(
            _rotary.rotate(query, of_query),
            slots,
            of_queries(inputs.bias, only_first),
            queries.rows,
            key,
            use_bias=use_bias,
        )
        return (rows.first(x) if only_first else x) + added

    def dropout(
        self, x: jax.Array, key: chex.PRNGKey | None, rate: float | None = None
    ) -> jax.Array:
        rate = self.config.attention_probs_dropout_prob  # Of the outputs too.
        return super().dropout(x, key, rate)


class GatedMlp(_modules.Block):
    """Gated feed-forward block with norm before and residual."""

    config: Any  # A ModernBertConfig.

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        config = self.config
        width, use_bias = config.intermediate_size, config.mlp_bias
        normed = self.norm(x, use_bias=config.norm_bias)
        gate = self.dense("gate", width, use_bias=use_bias)(normed)
        up = self.dense("up", width, use_bias=use_bias)(normed)
        hidden = self.dropout(ACTIVATIONS[config.hidden_act](gate) * up, key)
        down = self.dense("down", config.hidden_size, use_bias=use_bias)(hidden)
        return x + self.adapted(down)


class Layer(_modules.Block):
    """Attention block, then feed-forward block.

    Attributes:
      kind: type of the layer.
      normed: whether there is a norm before attention.
    """

    config: Any  # A ModernBertConfig.
    kind: str = FULL
    normed: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        attention = Attention(*parts, self.kind, self.normed, name="attention")
        x = attention(x, rows, shared, only_first, attention_key)
        return GatedMlp(*parts, name="mlp")(x, mlp_key)


class LastNorm(_modules.Block):
    """The norm of the last layer's states."""

    config: Any  # A ModernBertConfig.

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(x, use_bias=self.config.norm_bias)


class PredictionHead(_modules.Block):
    """Dense layer, activation and norm before the last layer of a classifier."""

    config: Any  # A ModernBertConfig.

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config = self.config
        dense = self.dense("dense", config.hidden_size, use_bias=config.classifier_bias)
        x = ACTIVATIONS[config.classifier_activation](dense(x))
        return self.norm(x, use_bias=config.norm_bias)


class Pooler(_modules.Block):
    """The prediction head as pooler, its parameters below that name."""

    config: Any  # A ModernBertConfig.

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return PredictionHead(self.config, self.dtype, name="pooler")(x)


def _layers(config: ModernBertConfig, dtype: Any) -> list[tuple[str, nn.Module]]:
    alike = {kind: Layer(config, dtype, kind) for kind in (FULL, SLIDING)}
    layers: list[tuple[str, nn.Module]] = [
        (layer_name(i), alike[kind]) for i, kind in enumerate(config.layer_types or ())
    ]
    first = (config.layer_types or (FULL,))[0]
    layers[0] = (layer_name(0), Layer(config, dtype, first, normed=False))
    return layers


def _pools(config: ModernBertConfig) -> Pooling:
    return "mean" if config.classifier_pooling == "mean" else "first"


NETWORK = EncoderNetwork(
    embeddings=Embeddings,
    layers=_layers,
    relative=Positions,
    norm=LastNorm,
    pooler=Pooler,
    pools=_pools,
)
