"""Decoder-only language models out of embeddings, layers and an output layer.

Letters of shapes: B texts, L tokens of a text, l new ones, S key-value slots, R rows
(tokens of the batch that are worked on), D features, V words, K beams.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.generation import _language_model
from metaflax.models.generation._language_model import Cache, LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _stack
from metaflax.models.layers._attention import KeyValues, Past
from metaflax.models.layers._tokens import Tokens


class View(NamedTuple):
    """New tokens of a batch, and the slots of keys and values that they attend to.

    Attributes:
      rows: how the tokens `[B, l]` lie in their batch.
      visible: `[B, l, S]`, which slots each token attends to.
      places: `[B, l]`, positions of the tokens.
      slot_places: `[B, S]`, positions of the slots.
    """

    rows: _packing.Rows
    visible: jax.Array
    places: jax.Array
    slot_places: jax.Array

    def within(self, window: int) -> jax.Array:
        """Returns those visible slots that lie less than `window` positions back."""
        distance = self.places[:, :, None] - self.slot_places[:, None]
        return self.visible & (distance < window)


class LayerFn(Protocol):
    """Runs a layer: `x, kept = layer(x, arguments, past, key)`.

    `x` is `[R, D]`; `kept` are keys and values of all slots, those of `past` included.
    """

    def __call__(
        self, x: jax.Array, arguments: Any, past: Past | None, key: Any, /
    ) -> tuple[jax.Array, KeyValues]: ...


class LayersFn(Protocol):
    """Returns layers and their arguments: `layers = layers(params, view, numbers)`.

    Layers that differ in their arguments alone are the same function, so that they can
    become one loop.
    """

    def __call__(
        self, params: Any, view: View, numbers: Sequence[int], /
    ) -> list[tuple[LayerFn, Any]]: ...


class EmbedFn(Protocol):
    """Embeds tokens: `x = embed(params, ids, view, key)`, `[R, D]`."""

    def __call__(self, params: Any, ids: jax.Array, view: View, key: Any, /) -> Any: ...


class LogitsFn(Protocol):
    """Computes logits `[R, V]` of states `[R, D]`: `logits(params, x)`."""

    def __call__(self, params: Any, x: jax.Array, /) -> jax.Array: ...


class Decoder(NamedTuple):
    """Parts of a decoder-only language model, as pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters.
      embed: the tokens' embeddings.
      layers: the layers.
      logits: the output layer.
      num_layers: how many layers there are.
      max_positions: longest text in tokens.
      limit: name of that in the configuration.
      output: parameters of the output layer.
      vocab_size: V.
    """

    init: base.InitFn
    embed: EmbedFn
    layers: LayersFn
    logits: LogitsFn
    num_layers: int
    max_positions: int
    limit: str
    output: str | tuple[str, ...]
    vocab_size: int


def decoder_only(
    decoder: Decoder, *, layer_loop: _stack.LayerLoop, remat: _stack.Remat
) -> LanguageModel:
    """Builds a language model from the parts of a decoder.

    Args:
      decoder: its parts.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the embeddings, each layer, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than the model's positions.
    """
    _language_model.check_layers(layer_loop, remat)
    stages = "embeddings", *map(layer_name, range(decoder.num_layers)), decoder.output
    run = functools.partial(_run_stages, decoder, layer_loop=layer_loop, remat=remat)
    return LanguageModel(
        init=decoder.init,
        apply=base.StagedApply(stages, run, examples_independent=True),
        begin=functools.partial(_begin, decoder),
        extend=functools.partial(_extend, decoder),
        prompt_tokens=lambda prompts: (
            jnp.asarray(prompts.ids),
            jnp.asarray(prompts.mask),
        ),
        vocab_size=decoder.vocab_size,
    )


def layer_name(number: int) -> str:
    """Returns the name of a layer in the parameter tree."""
    return f"layer_{number}"


def word_logits(params: Any, x: jax.Array, *, tied: bool, dtype: Any) -> jax.Array:
    """Computes logits `[R, V]` of normalised states `[R, D]`, at least float32.

    Args:
      params: with `embeddings/word`, or with `head/kernel`.
      x: the states.
      tied: whether the output layer is tied to the word embedding.
      dtype: of the product.
    """
    if tied:
        kernel = jnp.asarray(params["embeddings"]["word"], dtype).T
    else:
        kernel = jnp.asarray(params["head"]["kernel"], dtype)
    return _modules.widened(jnp.matmul(x.astype(dtype), kernel))


def _run_stages(
    decoder: Decoder,
    params: Any,
    tokens: Tokens,
    states: jax.Array | None,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> jax.Array:
    """Runs some of the stages, at least one, on whole texts; see `base.StagedApply`."""
    length = jnp.shape(tokens.ids)[1]
    _language_model.check_room(length, 0, decoder.max_positions, decoder.limit)
    view = _whole_texts(_packing.rows_of(tokens), jnp.asarray(tokens.mask))
    first_key, *keys = base.split_key(key, 1 + decoder.num_layers)
    if first == 0:
        with jax.named_scope("embeddings"):  # Profiles find it by this name.
            x = decoder.embed(params, jnp.asarray(tokens.ids), view, first_key)
    else:
        x = view.rows.pack(cast(jax.Array, states))

    @functools.cache
    def without_cache(layer: LayerFn) -> _stack.LayerFn:
        """Returns a layer as `run_layers` calls it, the same for the same layer."""
        return lambda x, both: layer(x, both[0], None, both[1])[0]

    numbers = range(max(first - 1, 0), min(last - 1, decoder.num_layers))
    pairs = decoder.layers(params, view, numbers)
    layers = [
        (without_cache(layer), (arguments, keys[number]))
        for number, (layer, arguments) in zip(numbers, pairs, strict=True)
    ]
    with jax.named_scope("decoder"):
        x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
        x = view.rows.unpack(x)
    return _logits(decoder, params, x) if last > 1 + decoder.num_layers else x


def _begin(
    decoder: Decoder, params: Any, prompts: Tokens, num_new: int, num_beams: int = 1
) -> tuple[jax.Array, Cache]:
    """Encodes prompts; see `LanguageModel`."""
    ids, mask = jnp.asarray(prompts.ids), jnp.asarray(prompts.mask)
    num_texts, length = ids.shape
    limit = decoder.max_positions, decoder.limit
    _language_model.check_room(length, num_new, *limit)
    view = _whole_texts(_packing.Rows((num_texts, length), None, None), mask)
    x = decoder.embed(params, ids, view, None)
    x, kept = _run_cached(decoder, params, x, view, [None] * decoder.num_layers)

    # The last real token, wherever the padding lies.
    last = jnp.max(jnp.where(mask.astype(bool), jnp.arange(length)[None], 0), axis=1)
    x = jnp.take_along_axis(view.rows.unpack(x), last[:, None, None], axis=1)
    cache = Cache(tuple(k.padded(num_new * num_beams) for k in kept), mask)
    return _logits(decoder, params, x)[:, 0], cache


def _extend(
    decoder: Decoder,
    params: Any,
    cache: Cache,
    ids: jax.Array,
    visible: jax.Array,
    step: chex.Numeric,
) -> tuple[jax.Array, Cache]:
    """Appends a token to each beam; see `LanguageModel`."""
    num_texts, num_beams = ids.shape
    length = jnp.sum(cache.mask.astype(jnp.int32), axis=1, keepdims=True)  # [B, 1]
    steps = jnp.arange(visible.shape[2])[None] // num_beams  # [1, T * K]
    view = View(
        rows=_packing.Rows((num_texts, num_beams), None, None),
        visible=cache.visible(visible),
        places=jnp.broadcast_to(length + step, ids.shape),
        slot_places=jnp.concatenate(
            [_attention.positions(cache.mask), length + steps], axis=1
        ),
    )
    x = decoder.embed(params, ids, view, None)
    slot = cache.mask.shape[1] + step * num_beams
    pasts = [Past(kept, slot) for kept in cache.kept]
    x, kept = _run_cached(decoder, params, x, view, pasts)
    logits = _logits(decoder, params, view.rows.unpack(x))
    return logits, cache._replace(kept=kept)


def _run_cached(
    decoder: Decoder,
    params: Any,
    x: jax.Array,
    view: View,
    pasts: Sequence[Past | None],
) -> tuple[jax.Array, tuple[KeyValues, ...]]:
    """Runs every layer, and returns its keys and values."""
    layers, all_kept = decoder.layers(params, view, range(decoder.num_layers)), []
    for (layer, arguments), past in zip(layers, pasts, strict=True):
        x, kept = layer(x, arguments, past, None)
        all_kept.append(kept)
    return x, tuple(all_kept)


def _whole_texts(rows: _packing.Rows, mask: jax.Array) -> View:
    places = _attention.positions(mask)
    return View(rows, _attention.causal(mask), places, places)


def _logits(decoder: Decoder, params: Any, x: jax.Array) -> jax.Array:
    """Computes logits `[B, l, V]` of states `[B, l, D]`."""
    logits = decoder.logits(params, x.reshape(-1, x.shape[-1]))
    return logits.reshape(*x.shape[:-1], -1)
