"""BERT as Flax Linen modules that are efficient to differentiate twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, H heads, d features of a head.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `pooler/kernel`; a kernel is `[in, out]`. Leaves that
`with_lora`, `with_adapters` and `with_context` add are applied wherever they occur.
"""

import functools
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.layers import _attention, _modules, _packing, _stack
from metaflax.models.layers._tokens import Tokens


class Embeddings(_modules.Embedding):
    """The sum of word, position and segment embeddings, normalised."""

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
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
            segments = jax.nn.one_hot(
                rows.pack(jnp.asarray(tokens.types)),
                token_type.shape[0],
                dtype=token_type.dtype,
            )
            x = x + jnp.matmul(segments, token_type, precision="highest")
        return self.dropout(self.norm(self.with_context(x)), key)


class Attention(_modules.Block):
    """Self-attention over the real tokens of a text; residual, then norm."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        config, (B, L) = self.config, rows.shape
        D, H = config.hidden_size, config.num_attention_heads
        d = D // H

        def heads(x: jax.Array) -> jax.Array:  # [B, l, D]
            x = x.reshape(B, -1, H, d).transpose(0, 2, 1, 3)
            return x.reshape(B * H, -1, d)

        queries = rows.first(x) if only_first else x
        query = self.dense("query", D)(queries) * jnp.asarray(d**-0.5, self.dtype)
        query = query[:, None] if only_first else rows.unpack(query)  # [B, l, D]
        keys = rows.unpack(self.dense("key", D)(x))  # [B, L, D]
        value = rows.unpack(self.dense("value", D)(x))  # [B, L, D]

        scores = jnp.matmul(heads(query), heads(keys).swapaxes(1, 2))  # [B * H, l, L]
        scores = scores.reshape(B, H, -1, L).astype(bias.dtype) + bias
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights_key, output_key = base.split_key(key)
        rate = config.attention_probs_dropout_prob
        weights = self.dropout(weights, weights_key, rate)

        mixed = jnp.matmul(weights.reshape(B * H, -1, L), heads(value))  # [B * H, l, d]
        mixed = mixed.reshape(B, H, -1, d).transpose(0, 2, 1, 3).reshape(B, -1, D)
        mixed = mixed[:, 0] if only_first else rows.pack(mixed)  # [R, D]
        mixed = self.dropout(self.dense("output", D)(mixed), output_key)
        return self.norm(queries + self.adapted(mixed))


class Layer(_modules.Block):
    """Attention block, then feed-forward block."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        x = Attention(*parts, name="attention")(
            x, rows, bias, only_first, attention_key
        )
        return _modules.PostNormMlp(*parts, name="mlp")(x, mlp_key)


class Pooler(_modules.Block):
    """Pretrained pooler: a dense layer with tanh on the first token."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(self.dense("pooler", self.config.hidden_size)(x))


def stages(config: BertConfig) -> tuple[str, ...]:
    """Returns the parameters of each stage below the pooling: embeddings, layers."""
    return "embeddings", *map(_layer_name, range(config.num_hidden_layers))


def run_stages(
    config: BertConfig,
    params: Any,
    tokens: Tokens,
    states: jax.Array | None,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    only_first: bool = False,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> jax.Array:
    """Runs some of the `stages`, at least one.

    Args:
      config: sizes and rates.
      params: the parameter tree; unused leaves are ignored.
      tokens: `[B, L]` texts.
      states: `[B, L, D]`, output of the stage before `first`; None if there is none.
      key: for dropout; None for none.
      first: index of the first stage to run.
      last: one more than that of the last.
      only_first: whether the last layer is computed at first tokens only.
      dtype: of computation.
      layer_loop: whether layers are unrolled or scanned, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      Hidden states `[B, L, D]`, zero or meaningless at padding; or `[B, D]` of the
      last layer with `only_first`.

    Raises:
      ValueError: if texts are longer than the model's positions.
    """
    check_length(config, tokens)
    rows = _packing.rows_of(tokens)
    num_layers = config.num_hidden_layers
    first_key, *keys = base.split_key(key, 1 + num_layers)
    if states is None:
        embeddings = Embeddings(config, dtype)
        variables = {"params": params["embeddings"]}
        x = cast(jax.Array, embeddings.apply(variables, tokens, rows, first_key))
    else:
        x = rows.pack(states)

    padding = 1 - jnp.asarray(tokens.mask).astype(_modules.wide_dtype(dtype))
    bias = _attention.MASKED * padding[:, None, None, :]  # [B, 1, 1, L]
    at_all, at_first = (
        functools.partial(_run_layer, Layer(config, dtype), rows, bias, shortened)
        for shortened in (False, True)
    )
    numbers = range(max(first - 1, 0), last - 1)
    layers = [
        (
            at_first if only_first and i == num_layers - 1 else at_all,
            (params[_layer_name(i)], keys[i]),
        )
        for i in numbers
    ]
    x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
    return x if only_first and last > num_layers else rows.unpack(x)


def pooled_first(
    config: BertConfig, params: Any, x: jax.Array, *, dtype: Any
) -> jax.Array:
    """Applies the pretrained pooler to first tokens `[B, D]`."""
    if "pooler" not in params:
        raise ValueError(
            "the parameters hold no pooler: this checkpoint came without one; use"
            ' pooling="mean" or "first"'
        )
    variables = {"params": {"pooler": params["pooler"]}}
    return cast(jax.Array, Pooler(config, dtype).apply(variables, x))


def init_bert(
    config: BertConfig, key: chex.PRNGKey, *, pooler: bool = False
) -> dict[str, Any]:
    """Initialises parameters, with those of a pooler on request."""
    part = config, jnp.float32
    one = jnp.zeros((1, 1), jnp.int32)
    tokens = Tokens(one, None, jnp.ones_like(one))
    rows = _packing.rows_of(tokens)
    x, bias = jnp.zeros((1, config.hidden_size)), jnp.zeros((1, 1, 1, 1))

    embeddings_key, pooler_key, layers_key = jax.random.split(key, 3)
    draw = Embeddings(*part).init
    drawn = {"embeddings": draw(embeddings_key, tokens, rows, None)["params"]}
    draw = jax.jit(lambda key: Layer(*part).init(key, x, rows, bias, False, None))
    for i in range(config.num_hidden_layers):
        drawn[_layer_name(i)] = draw(jax.random.fold_in(layers_key, i))["params"]
    if pooler:
        drawn |= Pooler(*part).init(pooler_key, x)["params"]
    return drawn


def check_length(config: BertConfig, tokens: Tokens) -> None:
    """Refuses, while tracing, texts that have no position embedding."""
    length = jnp.shape(tokens.ids)[-1]
    if length > config.max_position_embeddings:
        raise ValueError(
            f"texts of {length} tokens are longer than the model's"
            f" max_position_embeddings={config.max_position_embeddings}; truncate"
            " them when tokenising"
        )


def _layer_name(number: int) -> str:
    return f"layer_{number}"


def _run_layer(
    layer: Layer,
    rows: _packing.Rows,
    bias: jax.Array,
    only_first: bool,
    x: jax.Array,
    variables: tuple[Any, chex.PRNGKey | None],
) -> jax.Array:
    params, key = variables
    return cast(
        jax.Array, layer.apply({"params": params}, x, rows, bias, only_first, key)
    )
