"""Encoder-decoder language models out of an encoder, layers and an output layer.

Letters of shapes: B pairs, Ls tokens of a source, L of a target, l new ones, S slots of
keys and values, R rows (tokens of the batch that are worked on), D features, V words, K
beams.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.generation import _language_model
from metaflax.models.generation._language_model import Cache, LanguageModel, Pair
from metaflax.models.layers import _attention, _packing, _stack
from metaflax.models.layers._attention import KeyValues, Past, Source
from metaflax.models.layers._tokens import Tokens


class View(NamedTuple):
    """New tokens of targets, and what they attend to.

    Attributes:
      rows: layout of the tokens `[B, l]` in the batch.
      visible: `[B, l, S]`, which slots each token attends to.
      places: `[B, l]`, positions of the tokens.
      source_mask: `[B, Ls]`, which tokens of the sources are real.
      back: `[S]`, positions from each slot to the new tokens, all of which have one
        position; None where the slots are those tokens themselves, whole targets.
    """

    rows: _packing.Rows
    visible: jax.Array
    places: jax.Array
    source_mask: jax.Array
    back: jax.Array | None = None


class EncodeFn(Protocol):
    """Runs some stages of the encoder, at least one.

    `states = encode(params, tokens, states, key, first, last, layer_loop=, remat=)`:
    `states` are `[B, Ls, D]`, None before the first stage.
    """

    def __call__(
        self,
        params: Any,
        tokens: Tokens,
        states: jax.Array | None,
        key: Any,
        first: int,
        last: int,
        /,
        *,
        layer_loop: _stack.LayerLoop = "auto",
        remat: _stack.Remat = "none",
    ) -> jax.Array: ...


class BridgeFn(Protocol):
    """Returns states that the decoder attends to: `bridge(params, states, key)`."""

    def __call__(self, params: Any, states: jax.Array, key: Any, /) -> jax.Array: ...


class EmbedFn(Protocol):
    """Embeds tokens of targets: `x = embed(params, ids, view, key)`, `[R, D]`."""

    def __call__(
        self, params: Any, ids: jax.Array, view: View, key: Any, /
    ) -> jax.Array: ...


class LayerFn(Protocol):
    """Runs a layer: `x, (kept, read) = layer(x, arguments, read, past, key)`.

    `x` is `[R, D]`. `read` are states of the sources, or their keys and values, and the
    latter are returned; `kept` are keys and values of all slots, those of `past`
    included.
    """

    def __call__(
        self,
        x: jax.Array,
        arguments: Any,
        read: Source | KeyValues,
        past: Past | None,
        key: Any,
        /,
    ) -> tuple[jax.Array, tuple[KeyValues, KeyValues]]: ...


class LayersFn(Protocol):
    """Returns layers and their arguments: `layers = layers(params, view, numbers)`.

    Layers that differ in their arguments alone are the same function, so that they can
    become one loop.
    """

    def __call__(
        self, params: Any, view: View, numbers: Sequence[int], /
    ) -> list[tuple[LayerFn, Any]]: ...


class LogitsFn(Protocol):
    """Computes logits `[R, V]` of states `[R, D]`: `logits(params, x, key)`."""

    def __call__(self, params: Any, x: jax.Array, key: Any, /) -> jax.Array: ...


class EncoderDecoder(NamedTuple):
    """Parts of an encoder-decoder, as pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters.
      encode: the encoder.
      bridge: maps the encoder's states to those that the decoder attends to.
      embed: the embeddings of targets.
      layers: the layers of the decoder.
      logits: the output layer.
      encoder_stages: parameters of each stage of the encoder.
      decoder_stages: parameters of bridge and embeddings, of each layer, and of the
        output layer.
      start: id of the first token of a target.
      vocab_size: V.
      max_target: most tokens of a target, the first included; None for any number.
      limit: name of that in the configuration.
    """

    init: base.InitFn
    encode: EncodeFn
    bridge: BridgeFn
    embed: EmbedFn
    layers: LayersFn
    logits: LogitsFn
    encoder_stages: tuple[Any, ...]
    decoder_stages: tuple[Any, ...]
    start: int
    vocab_size: int
    max_target: int | None = None
    limit: str = ""

    @property
    def num_layers(self) -> int:
        """Number of layers of the decoder."""
        return len(self.decoder_stages) - 2

    def check_room(self, prompt: int, num_new: int) -> None:
        """Refuses targets of more tokens than there are positions."""
        if self.max_target is not None:
            _language_model.check_room(prompt, num_new, self.max_target, self.limit)


def encoder_decoder(
    parts: EncoderDecoder, *, layer_loop: _stack.LayerLoop, remat: _stack.Remat
) -> LanguageModel:
    """Builds a language model from the parts of an encoder-decoder.

    For training its inputs are a `Pair`, and logits those of the token after each of
    the targets'. Prompts for generation are the sources alone, `Tokens`; a generated
    text follows the start token.

    Args:
      parts: parts of the encoder-decoder.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are those of the encoder and of the decoder.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than a network's positions.
    """
    _language_model.check_layers(layer_loop, remat)
    stages = *parts.encoder_stages, *parts.decoder_stages
    run = functools.partial(_run_stages, parts, layer_loop=layer_loop, remat=remat)
    return LanguageModel(
        init=parts.init,
        apply=base.StagedApply(stages, run, examples_independent=True),
        begin=functools.partial(_begin, parts),
        extend=functools.partial(_extend, parts),
        prompt_tokens=functools.partial(_start_tokens, parts),
        vocab_size=parts.vocab_size,
    )


class _States(NamedTuple):
    """States of a decoder's stage: of sources `[B, Ls, D]`, and of targets."""

    read: jax.Array
    x: jax.Array


def _run_stages(
    parts: EncoderDecoder,
    params: Any,
    pair: Pair,
    states: Any,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> Any:
    """Runs some of the stages, at least one, on whole pairs; see `base.StagedApply`."""
    encoder_key, decoder_key = base.split_key(key)
    top = len(parts.encoder_stages)
    if first < top:
        states = parts.encode(
            params,
            pair.source,
            states,
            encoder_key,
            first,
            min(last, top),
            layer_loop=layer_loop,
            remat=remat,
        )
    if last <= top:
        return states
    arguments = params, pair, states, decoder_key, max(first - top, 0), last - top
    return _decode(parts, *arguments, layer_loop=layer_loop, remat=remat)


def _decode(
    parts: EncoderDecoder,
    params: Any,
    pair: Pair,
    states: Any,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> Any:
    """Runs some of the decoder's stages, of which 0 takes the encoder's states."""
    num, ids = parts.num_layers, jnp.asarray(pair.target.ids)
    parts.check_room(ids.shape[1], 0)
    view = _whole_targets(pair)
    bridge_key, embed_key, output_key, *keys = base.split_key(key, 3 + num)
    if first == 0:
        read = parts.bridge(params, states, bridge_key)
        with jax.named_scope("embeddings"):  # Profiles find it by this name.
            x = parts.embed(params, ids, view, embed_key)
    else:
        read, x = states.read, view.rows.pack(states.x)
    source_rows = _packing.rows_of(pair.source)
    source = Source(source_rows.pack(read), source_rows)

    @functools.cache
    def without_cache(layer: LayerFn) -> _stack.LayerFn:
        """Returns a layer as `run_layers` calls it, the same for the same layer."""
        return lambda x, both: layer(x, both[0], source, None, both[1])[0]

    numbers = range(max(first - 1, 0), min(last - 1, num))
    pairs = parts.layers(params, view, numbers) if numbers else []
    layers = [
        (without_cache(layer), (arguments, keys[number]))
        for number, (layer, arguments) in zip(numbers, pairs, strict=True)
    ]
    with jax.named_scope("decoder"):
        x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
    if last <= 1 + num:
        return _States(read, view.rows.unpack(x))
    return view.rows.unpack(parts.logits(params, x, output_key))


class _Read(NamedTuple):
    """Keys and values of the sources in each layer, and which tokens are real."""

    kept: tuple[KeyValues, ...]
    mask: jax.Array


def _begin(
    parts: EncoderDecoder,
    params: Any,
    prompts: Tokens,
    num_new: int,
    num_beams: int = 1,
) -> tuple[jax.Array, Cache]:
    """Encodes sources; see `LanguageModel`."""
    parts.check_room(1, num_new)
    top = len(parts.encoder_stages)
    encoded = parts.encode(params, prompts, None, None, 0, top)
    source_rows = _packing.rows_of(prompts)
    read = source_rows.pack(parts.bridge(params, encoded, None))

    ids, mask = _start_tokens(parts, prompts)
    view = View(
        rows=_packing.Rows((len(ids), 1), None, None),
        visible=_attention.causal(mask),
        places=jnp.zeros_like(ids),
        source_mask=jnp.asarray(prompts.mask),
    )
    x = parts.embed(params, ids, view, None)
    num = parts.num_layers
    reads = [Source(read, source_rows)] * num
    x, kept, kept_reads = _run_cached(parts, params, x, view, reads, [None] * num)
    room = tuple(k.padded(num_new * num_beams) for k in kept)
    cache = Cache(room, mask, _Read(kept_reads, view.source_mask))
    return parts.logits(params, x, None), cache


def _extend(
    parts: EncoderDecoder,
    params: Any,
    cache: Cache,
    ids: jax.Array,
    visible: jax.Array,
    step: chex.Numeric,
) -> tuple[jax.Array, Cache]:
    """Appends a token to each beam; see `LanguageModel`."""
    B, K = ids.shape
    place = jnp.asarray(1 + step)
    slot_places = 1 + jnp.arange(visible.shape[2]) // K  # [T * K]
    view = View(
        rows=_packing.Rows((B, K), None, None),
        visible=cache.visible(visible),
        places=jnp.broadcast_to(place, (B, K)),
        source_mask=cache.fixed.mask,
        back=place - jnp.concatenate([jnp.zeros(1, slot_places.dtype), slot_places]),
    )
    x = parts.embed(params, ids, view, None)
    pasts = [Past(kept, 1 + step * K) for kept in cache.kept]
    x, kept, _ = _run_cached(parts, params, x, view, cache.fixed.kept, pasts)
    logits = view.rows.unpack(parts.logits(params, x, None))
    return logits, cache._replace(kept=kept)


def _run_cached(
    parts: EncoderDecoder,
    params: Any,
    x: jax.Array,
    view: View,
    reads: Sequence[Source | KeyValues],
    pasts: Sequence[Past | None],
) -> tuple[jax.Array, tuple[KeyValues, ...], tuple[KeyValues, ...]]:
    """Runs every layer, and returns its keys and values, and those of the sources."""
    layers, all_kept = parts.layers(params, view, range(parts.num_layers)), []
    for (layer, arguments), read, past in zip(layers, reads, pasts, strict=True):
        x, kept = layer(x, arguments, read, past, None)
        all_kept.append(kept)
    kept, kept_reads = zip(*all_kept, strict=True)
    return x, kept, kept_reads


def _whole_targets(pair: Pair) -> View:
    mask = jnp.asarray(pair.target.mask)
    return View(
        rows=_packing.rows_of(pair.target),
        visible=_attention.causal(mask),
        places=_attention.positions(mask),
        source_mask=jnp.asarray(pair.source.mask),
    )


def _start_tokens(
    parts: EncoderDecoder, prompts: Tokens
) -> tuple[jax.Array, jax.Array]:
    """Returns the start tokens `[B, 1]` and their mask."""
    shape = jnp.shape(prompts.ids)[0], 1
    return jnp.full(shape, parts.start), jnp.ones(shape, bool)
