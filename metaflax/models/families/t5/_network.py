"""T5 as Flax Linen modules that are efficient to differentiate twice.

Letters of shapes: B pairs, Ls tokens of a source, L of a target, l new ones, S slots of
keys and values, R rows (tokens of the batch that are worked on), D features, H heads, V
words.

The parameter tree reads `embeddings/word`, which encoder and decoder share,
`encoder/layer_0/attention/query/kernel`, `encoder/relative/bias`, `encoder/norm/scale`,
`decoder/layer_0/cross_attention/key/kernel`, `decoder/layer_0/mlp/up/kernel`, and
`head/kernel` where the output layer is not tied to the word embedding; a kernel is
`[in, out]`. Norms come before blocks.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base
from metaflax.models.families.t5._config import T5Config
from metaflax.models.generation._decoder_parts import layer_name, word_logits
from metaflax.models.generation._encoder_decoder import (
    EncoderDecoder,
    LayerFn,
    View,
    encoder_decoder,
)
from metaflax.models.generation._language_model import LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _relative, _stack
from metaflax.models.layers._attention import KeyValues, Past, Source
from metaflax.models.layers._config import ACTIVATIONS
from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import Shared
from metaflax.models.layers._relative_bias import RelativeBias
from metaflax.models.layers._tokens import Tokens


def t5(
    config: T5Config,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> LanguageModel:
    """Builds a T5, of version 1.0 or 1.1.

    For training its inputs are a `Pair`, and logits those of the token after each of
    the targets'. Prompts for generation are the sources alone, `Tokens`; a generated
    text follows the start token. Texts may have any length, and padding on either side.

    Args:
      config: the network.
      dtype: dtype of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and logits are at least float32.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the embeddings and layers of the encoder,
      those of the decoder, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown.

    Examples:
      >>> from metaflax.models import Pair, Tokens
      >>> config = T5Config(vocab_size=9, d_model=8, d_kv=3, d_ff=12, num_layers=1,
      ...                   num_heads=2)
      >>> model = t5(config)
      >>> params = model.init(jax.random.key(0))
      >>> source, target = jnp.array([[4, 5, 2, 7]]), jnp.array([[0, 4, 4]])
      >>> pair = Pair(*(Tokens(x, None, jnp.ones_like(x)) for x in (source, target)))
      >>> model.apply(params, pair, None).shape
      (1, 3, 9)

    References:
      Raffel et al., `Exploring the Limits of Transfer Learning with a Unified
      Text-to-Text Transformer <https://arxiv.org/abs/1910.10683>`_, 2020; Chung et al.,
      `Scaling Instruction-Finetuned Language Models
      <https://arxiv.org/abs/2210.11416>`_, 2022.
    """
    tied = config.tie_word_embeddings
    layers = [
        (f"decoder/{layer_name(i)}", "decoder/relative")
        for i in range(config.num_decoder)
    ]
    parts = EncoderDecoder(
        init=functools.partial(_init, config),
        encode=functools.partial(_encode, config, dtype),
        bridge=functools.partial(_bridge, config),
        embed=functools.partial(_embed, config, dtype),
        layers=functools.partial(_layers, config, dtype),
        logits=functools.partial(_logits, config, dtype),
        encoder_stages=tuple(map(_in_encoder, ENCODER.stages(config))),
        decoder_stages=(
            "embeddings",
            *layers,
            ("decoder/norm", "embeddings/word" if tied else "head"),
        ),
        start=config.decoder_start_token_id,
        vocab_size=config.vocab_size,
    )
    return encoder_decoder(parts, layer_loop=layer_loop, remat=remat)


class Embeddings(_modules.Embedding):
    """Word embeddings; positions are those of attention."""

    @nn.compact
    def __call__(
        self, tokens: Tokens, rows: _packing.Rows, key: chex.PRNGKey | None
    ) -> jax.Array:
        word = self.table("word", self.config.vocab_size)
        x = self.with_context(word[rows.pack(jnp.asarray(tokens.ids))])
        return self.dropout(x.astype(self.dtype), key)


class Attention(_attention.Attention):
    """Self- or cross-attention without scaling; norm before, and residual."""

    sizes: T5Config

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        context: Source | KeyValues | None,
        bias: jax.Array,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, KeyValues]:
        queries = Source(self.rms_norm(x), rows)
        added, kept = self.attend(
            queries,
            queries if context is None else context,
            bias,
            key,
            scale=1.0,
            past=past,
            head_size=self.sizes.d_kv,
            use_bias=False,
        )
        return x + added, cast(KeyValues, kept)


class Mlp(_modules.Block):
    """Feed-forward block without gate; norm before, and residual."""

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        config = self.config
        hidden_key, output_key = base.split_key(key)
        up = self.dense("up", config.intermediate_size, use_bias=False)
        hidden = ACTIVATIONS[config.hidden_act](up(self.rms_norm(x)))
        hidden = self.dropout(hidden, hidden_key)
        down = self.dense("down", config.hidden_size, use_bias=False)(hidden)
        return x + self.adapted(self.dropout(down, output_key))


class Layer(_modules.Block):
    """Base of the layers of both networks."""

    sizes: T5Config

    def attention(self, name: str) -> Attention:
        return Attention(self.config, self.dtype, self.sizes, name=name)

    def mlp(self) -> nn.Module:
        if self.sizes.is_gated:
            return _modules.GatedMlp(self.config, self.dtype, False, name="mlp")
        return Mlp(self.config, self.dtype, name="mlp")


class EncoderLayer(Layer):
    """Self-attention, then feed-forward block."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        shared: Shared,
        only_first: bool,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        del only_first  # Used by some poolings, and there is no pooling here.
        attention_key, mlp_key = base.split_key(key)
        arguments = x, rows, None, shared.bias, None, attention_key
        x, _ = self.attention("attention")(*arguments)
        return cast(Any, self.mlp())(x, mlp_key)


class DecoderLayer(Layer):
    """Causal self-attention, cross-attention, then feed-forward block."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        read: Source | KeyValues,
        read_bias: jax.Array,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, tuple[KeyValues, KeyValues]]:
        self_key, read_key, mlp_key = base.split_key(key, 3)
        attention, cross_attention = map(
            self.attention, ("attention", "cross_attention")
        )
        x, kept = attention(x, rows, None, bias, past, self_key)
        x, kept_read = cross_attention(x, rows, read, read_bias, None, read_key)
        return cast(Any, self.mlp())(x, mlp_key), (kept, kept_read)


class Norm(_modules.Block):
    """The norm of the last layer's states."""

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None = None) -> jax.Array:
        return self.dropout(self.rms_norm(x), key)


def _encoder_layers(config: T5Config, dtype: Any) -> list[tuple[str, nn.Module]]:
    layer = EncoderLayer(config.blocks, dtype, config)
    return [(layer_name(i), layer) for i in range(config.num_layers)]


def _encoder_bias(config: T5Config, dtype: Any) -> RelativeBias:
    return RelativeBias(
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
        config.num_heads,
        _relative_init(config),
        dtype,
    )


def _relative_init(config: T5Config) -> nn.initializers.Initializer:
    return nn.initializers.normal(config.initializer_factor * config.d_model**-0.5)


ENCODER = EncoderNetwork(
    embeddings=lambda config, dtype: Embeddings(config.blocks, dtype),
    layers=_encoder_layers,
    relative=_encoder_bias,
    norm=lambda config, dtype: Norm(config.blocks, dtype),
)


def _in_encoder(stage: Any) -> Any:
    """Returns the places of the parameters of an encoder stage in the tree."""
    if isinstance(stage, tuple):
        return tuple(map(_in_encoder, stage))
    return stage if stage == "embeddings" else f"encoder/{stage}"


def _encode(
    config: T5Config,
    dtype: Any,
    params: Any,
    tokens: Tokens,
    states: jax.Array | None,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    **how: Any,
) -> jax.Array:
    """Runs some stages of the encoder; see `EncodeFn`."""
    weights = {**params["encoder"], "embeddings": params["embeddings"]}
    arguments = weights, tokens, states, key, first, last
    return ENCODER.run_stages(config, *arguments, dtype=dtype, **how)


def _bridge(
    config: T5Config, params: Any, states: jax.Array, key: chex.PRNGKey | None
) -> jax.Array:
    """Returns the encoder's states, with dropout."""
    del params
    dropout = nn.Dropout(config.dropout_rate, deterministic=key is None)
    return cast(jax.Array, dropout.apply({}, states, rng=key))


def _embed(
    config: T5Config, dtype: Any, params: Any, ids: jax.Array, view: View, key: Any
) -> jax.Array:
    tokens = Tokens(ids, None, jnp.ones_like(ids))
    variables = {"params": params["embeddings"]}
    x = Embeddings(config.blocks, dtype).apply(variables, tokens, view.rows, key)
    return cast(jax.Array, x)


def _layers(
    config: T5Config, dtype: Any, params: Any, view: View, numbers: Sequence[int]
) -> list[tuple[LayerFn, Any]]:
    """Returns layers and their arguments; see `EncoderDecoder`."""
    weights, layer = params["decoder"], DecoderLayer(config.blocks, dtype, config)
    relative = _decoder_bias(config, weights["relative"]["bias"], view)
    bias = _attention.bias_of(view.visible, dtype)
    bias = bias + relative.astype(bias.dtype)[None]  # [B, H, l, S]
    read_bias = _attention.bias_of(view.source_mask[:, None], dtype)

    def run(x: jax.Array, variables: Any, read: Any, past: Past | None, key: Any):
        variables = {"params": variables}
        arguments = x, view.rows, bias, read, read_bias, past, key
        return cast(Any, layer.apply(variables, *arguments))

    return [(run, weights[layer_name(i)]) for i in numbers]


def _decoder_bias(config: T5Config, table: jax.Array, view: View) -> jax.Array:
    """Computes the bias of scores by distance, `[H, l or 1, S]`."""
    buckets = functools.partial(
        _relative.one_sided_buckets,
        num_buckets=config.relative_attention_num_buckets,
        far=config.relative_attention_max_distance,
    )
    if view.back is None:
        length = view.visible.shape[-1]
        return _relative.bias_by_pairs(table, buckets(_relative.distances(length)))
    by_distance = jnp.asarray(buckets(-np.arange(len(view.back))))
    return table[by_distance[jnp.maximum(view.back, 0)]].T[:, None]


def _logits(
    config: T5Config, dtype: Any, params: Any, x: jax.Array, key: Any
) -> jax.Array:
    """Computes logits `[R, V]` of states `[R, D]`."""
    variables = {"params": {"norm": params["decoder"]["norm"]}}
    x = cast(jax.Array, Norm(config.blocks, dtype).apply(variables, x, key))
    if config.is_scaled:
        x = x * jnp.asarray(config.d_model**-0.5, x.dtype)
    return word_logits(params, x, tied=config.tie_word_embeddings, dtype=dtype)


def _init(config: T5Config, key: chex.PRNGKey) -> dict[str, Any]:
    """Initialises parameters."""
    encoder_key, layers_key, relative_key, head_key = jax.random.split(key, 4)
    encoder = ENCODER.init(config, encoder_key)
    drawn: dict[str, Any] = {"embeddings": encoder.pop("embeddings")}
    decoder: dict[str, Any] = {"norm": encoder["norm"]}
    shape = config.relative_attention_num_buckets, config.num_heads
    decoder["relative"] = {"bias": _relative_init(config)(relative_key, shape)}

    parts = config.blocks, jnp.float32
    rows = _packing.Rows((1, 1), None, None)
    x, bias = jnp.zeros((1, config.d_model)), jnp.zeros((1, 1, 1, 1))
    arguments = x, rows, bias, Source(x, rows), bias, None, None
    draw = jax.jit(lambda key: DecoderLayer(*parts, config).init(key, *arguments))
    for i in range(config.num_decoder):
        layer_key = jax.random.fold_in(layers_key, i)
        decoder[layer_name(i)] = draw(layer_key)["params"]
    drawn |= {"encoder": encoder, "decoder": decoder}
    drawn = jax.tree_util.tree_map_with_path(
        functools.partial(_rescaled, config.d_kv), drawn
    )
    if not config.tie_word_embeddings:
        noise = jax.random.normal(head_key, (config.d_model, config.vocab_size))
        drawn["head"] = {"kernel": config.initializer_factor * noise}
    return drawn


def _rescaled(head_size: int, path: Sequence[Any], leaf: jax.Array) -> jax.Array:
    """Scales a kernel by its inputs, that of queries as scores are not scaled."""
    names = [part.key for part in path]
    if names[-1] != "kernel":
        return leaf
    scale = leaf.shape[0] ** -0.5
    return leaf * (scale * head_size**-0.5 if names[-2] == "query" else scale)
