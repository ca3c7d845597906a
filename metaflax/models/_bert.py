"""BERT as Flax Linen modules, made for being differentiated twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, H heads, d features of a head.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `pooler/kernel`; a kernel is `[in, out]`.
"""

import functools
from typing import Any, Literal, TypeAlias, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax.models import _packing
from metaflax.models._bert_config import ACTIVATIONS, BertConfig
from metaflax.models._tokens import Tokens

Reads: TypeAlias = Literal["all", "first", "pooler"]

# Far below any score, yet finite: a text of padding only attends to all of it evenly.
_MASKED = -1e9


def _wide(dtype: Any) -> Any:
    """The type of norms and softmax: float32, or wider."""
    return jnp.promote_types(dtype, jnp.float32)


class _Part(nn.Module):
    """A piece of the network: what all of them know, and what they build from.

    Attributes:
      config: sizes and rates.
      dtype: of computation; parameters are float32, norms and softmax at least so.
      deterministic: whether dropout is off.
    """

    config: BertConfig
    dtype: Any
    deterministic: bool

    def dense(self, name: str, features: int) -> nn.Dense:
        return nn.Dense(
            features,
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(self.config.initializer_range),
            name=name,
        )

    def norm(self, x: jax.Array) -> jax.Array:
        norm = nn.LayerNorm(
            epsilon=self.config.layer_norm_eps,
            dtype=_wide(self.dtype),
            use_fast_variance=False,  # E[x^2] - E[x]^2 cancels.
            name="norm",
        )
        return norm(x.astype(_wide(self.dtype))).astype(self.dtype)

    def dropout(self, x: jax.Array, rate: float | None = None) -> jax.Array:
        rate = self.config.hidden_dropout_prob if rate is None else rate
        return nn.Dropout(rate, deterministic=self.deterministic)(x)


class Embeddings(_Part):
    """The sum of word, position and segment embeddings, normalised."""

    def table(self, name: str, num_rows: int) -> jax.Array:
        if not self.is_initializing():
            # Whatever number of rows it has: an algorithm may hold only those in use.
            return self.get_variable("params", name)
        init = nn.initializers.normal(self.config.initializer_range)
        return self.param(name, init, (num_rows, self.config.hidden_size))

    @nn.compact
    def __call__(self, tokens: Tokens, rows: _packing.Rows) -> jax.Array:
        config, (B, L) = self.config, rows.shape
        word = self.table("word", config.vocab_size)
        position = self.table("position", config.max_position_embeddings)
        token_type = self.table("token_type", config.type_vocab_size)

        # Positions and segments occur many times. Broadcasting and a product have fast
        # transposes; indexing would add up gradients one token after the other.
        places = jnp.broadcast_to(position[None, :L], (B, L, position.shape[1]))
        x = word[rows.pack(jnp.asarray(tokens.ids))] + rows.pack(places)  # [R, D]
        if tokens.types is None:
            x = x + token_type[:1]
        else:
            chosen = jax.nn.one_hot(
                rows.pack(jnp.asarray(tokens.types)),
                token_type.shape[0],
                dtype=token_type.dtype,
            )
            x = x + jnp.matmul(chosen, token_type, precision="highest")
        return self.dropout(self.norm(x))


class Attention(_Part):
    """Every token looks at the real tokens of its text; residual and norm."""

    @nn.compact
    def __call__(
        self, x: jax.Array, rows: _packing.Rows, bias: jax.Array, only_first: bool
    ) -> jax.Array:
        config, (B, L) = self.config, rows.shape
        D, H = config.hidden_size, config.num_attention_heads
        d = D // H

        def heads(x: jax.Array) -> jax.Array:  # [B, l, D]
            x = x.reshape(B, -1, H, d).transpose(0, 2, 1, 3)
            return x.reshape(B * H, -1, d)

        asking = rows.first(x) if only_first else x
        query = self.dense("query", D)(asking) * jnp.asarray(d**-0.5, self.dtype)
        query = query[:, None] if only_first else rows.unpack(query)  # [B, l, D]
        key = rows.unpack(self.dense("key", D)(x))  # [B, L, D]
        value = rows.unpack(self.dense("value", D)(x))  # [B, L, D]

        scores = jnp.matmul(heads(query), heads(key).swapaxes(1, 2))  # [B * H, l, L]
        scores = scores.reshape(B, H, -1, L).astype(bias.dtype) + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights = self.dropout(weights, config.attention_probs_dropout_prob)

        mixed = jnp.matmul(weights.reshape(B * H, -1, L), heads(value))  # [B * H, l, d]
        mixed = mixed.reshape(B, H, -1, d).transpose(0, 2, 1, 3).reshape(B, -1, D)
        mixed = mixed[:, 0] if only_first else rows.pack(mixed)  # [R, D]
        return self.norm(asking + self.dropout(self.dense("output", D)(mixed)))


class Mlp(_Part):
    """The feed-forward part of a layer; residual and norm."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        up = self.dense("up", self.config.intermediate_size)(x)
        hidden = ACTIVATIONS[self.config.hidden_act](up)
        down = self.dense("down", self.config.hidden_size)(hidden)
        return self.norm(x + self.dropout(down))


class Layer(_Part):
    """Attention, then the feed-forward part."""

    @nn.compact
    def __call__(
        self, x: jax.Array, rows: _packing.Rows, bias: jax.Array, only_first: bool
    ) -> jax.Array:
        parts = self.config, self.dtype, self.deterministic
        x = Attention(*parts, name="attention")(x, rows, bias, only_first)
        return Mlp(*parts, name="mlp")(x)


class Bert(_Part):
    """The encoder; `reads` says what of its last layer is wanted, and computed."""

    @nn.compact
    def __call__(self, tokens: Tokens, reads: Reads = "all") -> jax.Array:
        check_length(self.config, tokens)
        parts = self.config, self.dtype, self.deterministic
        rows = _packing.rows_of(tokens)
        padding = 1 - jnp.asarray(tokens.mask).astype(_wide(self.dtype))
        bias = _MASKED * padding[:, None, None, :]  # [B, 1, 1, L]

        x = Embeddings(*parts, name="embeddings")(tokens, rows)
        last = self.config.num_hidden_layers - 1
        for i in range(self.config.num_hidden_layers):
            # What reads the first token only needs no other from the last layer.
            only_first = i == last and reads != "all"
            x = Layer(*parts, name=f"layer_{i}")(x, rows, bias, only_first)
        if reads == "all":
            x = rows.unpack(x)  # [B, L, D]
        if reads == "pooler":
            x = jnp.tanh(self.dense("pooler", self.config.hidden_size)(x))
        return x.astype(_wide(self.dtype))


def check_length(config: BertConfig, tokens: Tokens) -> None:
    """Refuses, while tracing, texts that have no position embedding."""
    length = jnp.shape(tokens.ids)[-1]
    if length > config.max_position_embeddings:
        raise ValueError(
            f"texts of {length} tokens are longer than the model's"
            f" max_position_embeddings={config.max_position_embeddings}; truncate"
            " them when tokenising"
        )


def init_bert(
    config: BertConfig, key: chex.PRNGKey, *, reads: Reads = "all"
) -> dict[str, Any]:
    """Draws fresh parameters, with a pooler where `reads` is "pooler"."""
    one = jnp.zeros((1, 1), jnp.int32)
    network = Bert(config, jnp.float32, deterministic=True)
    init = functools.partial(network.init, reads=reads)
    return jax.jit(init)(key, Tokens(one, None, jnp.ones_like(one)))["params"]


def apply_bert(
    config: BertConfig,
    params: Any,
    tokens: Tokens,
    key: chex.PRNGKey | None = None,
    *,
    reads: Reads = "all",
    dtype: Any = jnp.float32,
) -> jax.Array:
    """Runs the encoder.

    Args:
      config: sizes and rates.
      params: the parameter tree; leaves that nothing reads are passed over.
      tokens: `[B, L]` texts.
      key: for dropout; None for none.
      reads: "all" tokens `[B, L, D]`, zero or meaningless at padding; the "first" of
        each text `[B, D]`, for which the last layer skips the others; or what the
        "pooler" makes of the first.
      dtype: of computation.

    Returns:
      The hidden states that `reads` names, at least float32.

    Raises:
      ValueError: if texts are longer than the model's positions, or `reads` is
        "pooler" and the parameters hold none.
    """
    if reads == "pooler" and "pooler" not in params:
        raise ValueError(
            "the parameters hold no pooler: this checkpoint came without one; use"
            ' pooling="mean" or "first"'
        )
    network = Bert(config, dtype, deterministic=key is None)
    rngs = None if key is None else {"dropout": key}
    states = network.apply({"params": params}, tokens, reads, rngs=rngs)
    return cast(jax.Array, states)
