"""Encoder-decoder of two BERTs as Flax Linen modules.

Letters of shapes: B pairs, Ls tokens of a source, L of a target, R rows (tokens of the
batch that are worked on), D features, V words, K beams.

The parameter tree reads `encoder/layer_0/mlp/norm/scale` as that of a BERT does, and
`decoder/layer_0/attention/query/kernel`, `decoder/layer_0/cross_attention/key/kernel`,
`decoder/head/dense/kernel`; `bridge/kernel` where both BERTs differ in width.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._network import NETWORK as BERT
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.generation._encoder_decoder import (
    EncoderDecoder,
    LayerFn,
    View,
    encoder_decoder,
)
from metaflax.models.generation._language_model import LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _stack
from metaflax.models.layers._attention import KeyValues, Past, Source
from metaflax.models.layers._tokens import Tokens


def seq2seq(
    config: Seq2SeqConfig,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> LanguageModel:
    """Builds an encoder-decoder of two BERTs.

    For training its inputs are a `Pair`, and logits those of the token after each of
    the targets'. Prompts for generation are the sources alone, `Tokens`; a generated
    text follows the start token.

    Args:
      config: the networks.
      dtype: dtype of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and logits are at least float32.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the encoder's embeddings and layers, the
      decoder's, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than a network's positions.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import BertConfig, Seq2SeqConfig, Tokens, seq2seq
      >>> from metaflax.models import Pair
      >>> sizes = dict(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...              num_hidden_layers=1, intermediate_size=16)
      >>> config = Seq2SeqConfig(BertConfig(**sizes), BertConfig(**sizes), 1)
      >>> model = seq2seq(config)
      >>> params = model.init(jax.random.key(0))
      >>> source, target = jnp.array([[1, 5, 2, 7]]), jnp.array([[1, 4, 4]])
      >>> pair = Pair(*(Tokens(ids, None, ids > 0) for ids in (source, target)))
      >>> model.apply(params, pair, None).shape
      (1, 3, 9)

    References:
      Rothe et al., `Leveraging Pre-trained Checkpoints for Sequence Generation Tasks
      <https://arxiv.org/abs/1907.12461>`_, 2020.
    """
    decoder = config.decoder
    below, *layers = (f"decoder/{name}" for name in BERT.stages(decoder))
    parts = EncoderDecoder(
        init=functools.partial(_init, config),
        encode=functools.partial(_encode, config.encoder, dtype),
        bridge=functools.partial(_bridged, dtype),
        embed=functools.partial(_embed, decoder, dtype),
        layers=functools.partial(_layers, decoder, dtype),
        logits=functools.partial(_logits, decoder, dtype),
        encoder_stages=tuple(f"encoder/{name}" for name in BERT.stages(config.encoder)),
        decoder_stages=(
            (below, "bridge"),
            *layers,
            ("decoder/head", "decoder/embeddings/word"),
        ),
        start=config.decoder_start_token_id,
        vocab_size=decoder.vocab_size,
        max_target=decoder.max_position_embeddings,
        limit="decoder's max_position_embeddings",
    )
    return encoder_decoder(parts, layer_loop=layer_loop, remat=remat)


class Embeddings(_modules.Embedding):
    """The sum of word, position and first segment's embeddings, normalised."""

    @nn.compact
    def __call__(
        self,
        ids: jax.Array,
        positions: jax.Array,
        rows: _packing.Rows,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        segments = self.table("token_type", self.config.type_vocab_size)
        x = self.words_at(ids, positions, rows) + segments[:1]
        return self.dropout(self.norm(x), key)  # [R, D]


class Attention(_attention.Attention):
    """Self- or cross-attention; residual, then norm."""

    @nn.compact
    def __call__(
        self,
        queries: Source,
        context: Source | KeyValues,
        bias: jax.Array,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, KeyValues]:
        added, kept = self.attend(queries, context, bias, key, past=past)
        return self.norm(queries.x + added), cast(KeyValues, kept)


class Layer(_modules.Block):
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
        parts = self.config, self.dtype
        self_key, read_key, mlp_key = base.split_key(key, 3)
        target = Source(x, rows)
        x, kept = Attention(*parts, name="attention")(
            target, target, bias, past, self_key
        )
        x, kept_read = Attention(*parts, name="cross_attention")(
            Source(x, rows), read, read_bias, None, read_key
        )
        return _modules.PostNormMlp(*parts, name="mlp")(x, mlp_key), (kept, kept_read)


def _encode(
    encoder: BertConfig,
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
    arguments = params["encoder"], tokens, states, key, first, last
    return BERT.run_stages(encoder, *arguments, dtype=dtype, **how)


def _bridged(
    dtype: Any, params: Any, read: jax.Array, key: chex.PRNGKey | None
) -> jax.Array:
    """Projects the encoder's states to the width of the decoder."""
    del key
    if "bridge" not in params:
        return read
    kernel, bias = (params["bridge"][name] for name in ("kernel", "bias"))
    x = jnp.matmul(read.astype(dtype), kernel.astype(dtype))
    return x + bias.astype(dtype)[None, None]


def _embed(
    decoder: BertConfig, dtype: Any, params: Any, ids: jax.Array, view: View, key: Any
) -> jax.Array:
    variables = {"params": params["decoder"]["embeddings"]}
    arguments = ids, view.places, view.rows, key
    return cast(jax.Array, Embeddings(decoder, dtype).apply(variables, *arguments))


def _layers(
    decoder: BertConfig, dtype: Any, params: Any, view: View, numbers: Sequence[int]
) -> list[tuple[LayerFn, Any]]:
    """Returns layers and their arguments; see `EncoderDecoder`."""
    layer, bias = Layer(decoder, dtype), _attention.bias_of(view.visible, dtype)
    read_bias = _attention.bias_of(view.source_mask[:, None], dtype)

    def run(x: jax.Array, variables: Any, read: Any, past: Past | None, key: Any):
        variables = {"params": variables}
        arguments = x, view.rows, bias, read, read_bias, past, key
        return cast(Any, layer.apply(variables, *arguments))

    return [(run, params["decoder"][f"layer_{i}"]) for i in numbers]


def _logits(
    decoder: BertConfig, dtype: Any, params: Any, x: jax.Array, key: Any
) -> jax.Array:
    """Computes logits `[R, V]` of states `[R, D]`."""
    del key
    weights = params["decoder"]
    head, variables = _modules.TiedWordHead(decoder, dtype), {"params": weights["head"]}
    return cast(jax.Array, head.apply(variables, x, weights["embeddings"]["word"]))


def _init(config: Seq2SeqConfig, key: chex.PRNGKey) -> dict[str, Any]:
    """Initialises parameters."""
    decoder, D = config.decoder, config.decoder.hidden_size
    parts = decoder, jnp.float32
    keys = jax.random.split(key, 5)
    one = jnp.zeros((1, 1), jnp.int32)
    rows = _packing.Rows((1, 1), None, None)
    x, bias = jnp.zeros((1, D)), jnp.zeros((1, 1, 1, 1))
    read = Source(x, rows)

    embeddings = Embeddings(*parts).init(keys[0], one, one, rows, None)["params"]
    head = _modules.TiedWordHead(*parts).init(keys[1], x, embeddings["word"])["params"]
    decoder_params: Any = {"embeddings": embeddings, "head": head}
    draw = jax.jit(
        lambda key: Layer(*parts).init(key, x, rows, bias, read, bias, None, None)
    )
    for i in range(decoder.num_hidden_layers):
        decoder_params[f"layer_{i}"] = draw(jax.random.fold_in(keys[2], i))["params"]
    drawn: Any = {"encoder": BERT.init(config.encoder, keys[3])}
    drawn["decoder"] = decoder_params
    if config.encoder.hidden_size != D:
        bridge = _modules.Dense(
            D, jnp.float32, nn.initializers.normal(decoder.initializer_range)
        )
        wide = jnp.zeros((1, config.encoder.hidden_size))
        drawn["bridge"] = bridge.init(keys[4], wide)["params"]
    return drawn
