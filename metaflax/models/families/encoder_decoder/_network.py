"""Encoder-decoder of two BERTs as Flax Linen modules.

Letters of shapes: B pairs, Ls tokens of a source, L of a target, R rows (tokens of the
batch that are worked on), D features, V words, K beams.

The parameter tree reads `encoder/layer_0/mlp/norm/scale` as that of a BERT does, and
`decoder/layer_0/attention/query/kernel`, `decoder/layer_0/cross_attention/key/kernel`,
`decoder/head/dense/kernel`; `bridge/kernel` where both BERTs differ in width.
"""

import functools
from typing import Any, NamedTuple, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._network import NETWORK as BERT
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.generation import _language_model
from metaflax.models.generation._language_model import Cache, LanguageModel, Pair
from metaflax.models.layers import _attention, _encoder, _modules, _packing, _stack
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
      dtype: of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
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
    _language_model.check_layers(layer_loop, remat)
    run = functools.partial(
        _run_stages, config, dtype=dtype, layer_loop=layer_loop, remat=remat
    )
    return LanguageModel(
        init=functools.partial(_init, config),
        apply=base.StagedApply(_stages(config), run, examples_independent=True),
        begin=functools.partial(_begin, config, dtype),
        extend=functools.partial(_extend, config, dtype),
        prompt_tokens=functools.partial(_start_tokens, config),
        vocab_size=config.decoder.vocab_size,
    )


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
        return self.norm(queries.x + added), kept


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


class _States(NamedTuple):
    """States of a decoder's stage: of sources `[B, Ls, D]`, and of targets."""

    read: jax.Array
    x: jax.Array


def _stages(config: Seq2SeqConfig) -> tuple[Any, ...]:
    """Returns the parameters of each stage: encoder, decoder, logits."""
    below, *layers = (f"decoder/{name}" for name in BERT.stages(config.decoder))
    return (
        *(f"encoder/{name}" for name in BERT.stages(config.encoder)),
        (below, "bridge"),
        *layers,
        ("decoder/head", "decoder/embeddings/word"),
    )


def _run_stages(
    config: Seq2SeqConfig,
    params: Any,
    pair: Pair,
    states: Any,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    dtype: Any,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> Any:
    """Runs some of the stages, at least one, on whole pairs; see `base.StagedApply`."""
    encoder_key, decoder_key = base.split_key(key)
    how = {"dtype": dtype, "layer_loop": layer_loop, "remat": remat}
    num_below = len(BERT.stages(config.encoder))
    if first < num_below:
        states = BERT.run_stages(
            config.encoder,
            params["encoder"],
            pair.source,
            states,
            encoder_key,
            first,
            min(last, num_below),
            **how,
        )
    if last <= num_below:
        return states
    first, last = max(first - num_below, 0), last - num_below
    return _decode(config, params, pair, states, decoder_key, first, last, **how)


def _decode(
    config: Seq2SeqConfig,
    params: Any,
    pair: Pair,
    states: Any,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    dtype: Any,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> Any:
    """Runs some of the decoder's stages, of which 0 takes the encoder's states."""
    decoder, weights = config.decoder, params["decoder"]
    _encoder.check_length(decoder, pair.target)
    rows, mask = _packing.rows_of(pair.target), jnp.asarray(pair.target.mask)
    first_key, *keys = base.split_key(key, 1 + decoder.num_hidden_layers)
    if first == 0:
        read = _bridged(params, states, dtype)
        places = _attention.positions(mask)
        x = _embed(decoder, dtype, weights, pair.target.ids, places, rows, first_key)
    else:
        read, x = states.read, rows.pack(states.x)

    source_rows = _packing.rows_of(pair.source)
    bias = _attention.bias_of(_attention.causal(mask), dtype)
    layer = functools.partial(
        _run_layer,
        Layer(decoder, dtype),
        rows,
        bias,
        Source(source_rows.pack(read), source_rows),
        _source_bias(pair.source, dtype),
    )
    numbers = range(max(first - 1, 0), min(last - 1, decoder.num_hidden_layers))
    layers = [(layer, (weights[f"layer_{i}"], keys[i])) for i in numbers]
    x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
    if last <= 1 + decoder.num_hidden_layers:
        return _States(read, rows.unpack(x))
    return rows.unpack(_logits(decoder, dtype, weights, x))


def _run_layer(
    layer: Layer,
    rows: _packing.Rows,
    bias: jax.Array,
    read: Source,
    read_bias: jax.Array,
    x: jax.Array,
    weights: tuple[Any, chex.PRNGKey | None],
) -> jax.Array:
    """Runs a layer as `_stack.run_layers` calls it, without a cache."""
    params, key = {"params": weights[0]}, weights[1]
    x, _ = cast(Any, layer.apply(params, x, rows, bias, read, read_bias, None, key))
    return x


class _Read(NamedTuple):
    """Keys and values of the sources, and their bias."""

    kept: tuple[KeyValues, ...]
    bias: jax.Array


def _begin(
    config: Seq2SeqConfig,
    dtype: Any,
    params: Any,
    prompts: Tokens,
    num_new: int,
    num_beams: int = 1,
) -> tuple[jax.Array, Cache]:
    """Encodes sources; see `LanguageModel`."""
    decoder, weights = config.decoder, params["decoder"]
    room, limit = decoder.max_position_embeddings, "max_position_embeddings"
    _language_model.check_room(1, num_new, room, f"decoder's {limit}")
    last = len(BERT.stages(config.encoder))
    encoded = BERT.run_stages(
        config.encoder, params["encoder"], prompts, None, None, 0, last, dtype=dtype
    )
    source_rows = _packing.rows_of(prompts)
    packed = source_rows.pack(_bridged(params, encoded, dtype))
    read_bias = _source_bias(prompts, dtype)

    ids, mask = _start_tokens(config, prompts)
    rows = _packing.Rows((len(ids), 1), None, None)
    x = _embed(decoder, dtype, weights, ids, jnp.zeros_like(ids), rows, None)
    bias = _attention.bias_of(_attention.causal(mask), dtype)
    num = decoder.num_hidden_layers
    reads = [Source(packed, source_rows)] * num
    x, kept = _run_cached(
        decoder, dtype, weights, x, rows, bias, reads, read_bias, [None] * num
    )
    room = tuple(k.padded(num_new * num_beams) for k, _ in kept)
    cache = Cache(room, mask, _Read(tuple(k for _, k in kept), read_bias))
    return _logits(decoder, dtype, weights, x), cache


def _extend(
    config: Seq2SeqConfig,
    dtype: Any,
    params: Any,
    cache: Cache,
    ids: jax.Array,
    visible: jax.Array,
    step: chex.Numeric,
) -> tuple[jax.Array, Cache]:
    """Appends a token to each beam; see `LanguageModel`."""
    decoder, weights = config.decoder, params["decoder"]
    B, K = ids.shape
    rows = _packing.Rows((B, K), None, None)
    places = jnp.broadcast_to(jnp.asarray(1 + step), (B, K))
    x = _embed(decoder, dtype, weights, ids, places, rows, None)
    bias = _attention.bias_of(cache.visible(visible), dtype)
    pasts = [Past(kept, 1 + step * K) for kept in cache.kept]
    read = cache.fixed
    x, kept = _run_cached(
        decoder, dtype, weights, x, rows, bias, read.kept, read.bias, pasts
    )
    logits = rows.unpack(_logits(decoder, dtype, weights, x))
    return logits, cache._replace(kept=tuple(k for k, _ in kept))


def _run_cached(decoder, dtype, weights, x, rows, bias, reads, read_bias, pasts):
    """Runs every layer, and returns its keys and values."""
    layer, kept = Layer(decoder, dtype), []
    for i, (read, past) in enumerate(zip(reads, pasts, strict=True)):
        params = {"params": weights[f"layer_{i}"]}
        x, here = cast(
            Any, layer.apply(params, x, rows, bias, read, read_bias, past, None)
        )
        kept.append(here)
    return x, kept


def _start_tokens(
    config: Seq2SeqConfig, prompts: Tokens
) -> tuple[jax.Array, jax.Array]:
    """Returns the start tokens `[B, 1]` and their mask."""
    shape = jnp.shape(prompts.ids)[0], 1
    return jnp.full(shape, config.decoder_start_token_id), jnp.ones(shape, bool)


def _bridged(params: Any, read: jax.Array, dtype: Any) -> jax.Array:
    """Projects the encoder's states to the width of the decoder."""
    if "bridge" not in params:
        return read
    kernel, bias = (params["bridge"][name] for name in ("kernel", "bias"))
    x = jnp.matmul(read.astype(dtype), kernel.astype(dtype))
    return x + bias.astype(dtype)[None, None]


def _source_bias(source: Tokens, dtype: Any) -> jax.Array:
    """Computes the bias of scores of the sources' tokens, `[B, 1, 1, Ls]`."""
    return _attention.bias_of(jnp.asarray(source.mask)[:, None], dtype)


def _embed(decoder, dtype, weights, ids, places, rows, key) -> jax.Array:
    embeddings, params = Embeddings(decoder, dtype), {"params": weights["embeddings"]}
    return cast(
        jax.Array, embeddings.apply(params, jnp.asarray(ids), places, rows, key)
    )


def _logits(decoder: BertConfig, dtype: Any, weights: Any, x: jax.Array) -> jax.Array:
    """Computes logits `[R, V]` of states `[R, D]`."""
    head, params = _modules.TiedWordHead(decoder, dtype), {"params": weights["head"]}
    return cast(jax.Array, head.apply(params, x, weights["embeddings"]["word"]))


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
