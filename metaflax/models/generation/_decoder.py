"""Decoder-only language models out of embeddings, layers and an output layer.

Letters of shapes: B texts, L tokens of a text, l new ones, S key-value slots, C slots
of a context, R rows (tokens of the batch that are worked on), D features, V words, K
beams.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.generation import _language_model
from metaflax.models.generation._choices import Choices, calibrated, choice_outputs
from metaflax.models.generation._decoder_parts import (
    Decoder,
    LayerFn,
    View,
    layer_name,
)
from metaflax.models.generation._language_model import Cache, Context, LanguageModel
from metaflax.models.generation._support_tokens import support_text
from metaflax.models.layers import _attention, _packing, _stack
from metaflax.models.layers._attention import KeyValues, Past, SharedKeyValues
from metaflax.models.layers._tokens import Tokens


def decoder_only(
    decoder: Decoder, *, layer_loop: _stack.LayerLoop, remat: _stack.Remat
) -> LanguageModel:
    """Builds a language model from the parts of a decoder.

    Args:
      decoder: parts of the decoder.
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
    loops = {"layer_loop": layer_loop, "remat": remat}
    run = functools.partial(_run_stages, decoder, **loops)
    read = functools.partial(_read, decoder, **loops)
    whole = base.StagedApply(stages, run, examples_independent=True)

    def in_context(size: int) -> base.StagedApply:
        def following(params: Any, context: Context, inputs: Any, key: Any) -> Any:
            return after(context).apply(params, inputs, key)

        reading = base.InContext(functools.partial(read, size), following)
        return dataclasses.replace(whole, in_context=reading)

    def after(context: Context) -> LanguageModel:
        behind = {"context": context}
        run_behind = functools.partial(run, **behind)
        return model._replace(
            apply=base.StagedApply(stages, run_behind, examples_independent=True),
            begin=functools.partial(_begin, decoder, **behind),
            extend=functools.partial(_extend, decoder, **behind),
            in_context=None,
            after=None,
        )

    model = LanguageModel(
        init=decoder.init,
        apply=whole,
        begin=functools.partial(_begin, decoder),
        extend=functools.partial(_extend, decoder),
        prompt_tokens=lambda prompts: (
            jnp.asarray(prompts.ids),
            jnp.asarray(prompts.mask),
        ),
        vocab_size=decoder.vocab_size,
        in_context=in_context,
        after=after,
    )
    return model


def _run_stages(
    decoder: Decoder,
    params: Any,
    inputs: Tokens | Choices,
    states: Any,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    **how: Any,
) -> Any:
    """Runs some of the stages, at least one, on whole texts; see `base.StagedApply`."""
    if not isinstance(inputs, Choices):
        tokens = inputs
        length = jnp.shape(tokens.ids)[1]
        decoder.check_room(length, 0, how.get("context"))
        mask = jnp.asarray(tokens.mask)
        view = _whole_texts(_packing.rows_of(tokens), mask)
        return _run_view(decoder, params, tokens, view, states, key, first, last, **how)

    def run(choices: Choices, states: Any) -> Any:
        visible = choices.visible()
        places = jnp.maximum(jnp.sum(visible, axis=-1) - 1, 0)
        view = View(_packing.rows_of(choices.tokens), visible, places, places)
        arguments = params, choices.tokens, view, states, key, first, last
        x = _run_view(decoder, *arguments, **how)
        return choice_outputs(choices, x) if last > 1 + decoder.num_layers else x

    if inputs.content_free is None:
        return run(inputs, states)
    choice_states, free = (None, None) if first == 0 else states
    blank = inputs.content_free
    shape = blank.present.shape[:2]
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (blank, free))
    outputs, of_blank = run(inputs, choice_states), run(*flat)
    if last > 1 + decoder.num_layers:
        logits = of_blank.logits
        logits = logits.reshape(*shape, *logits.shape[1:])
        return calibrated(outputs, logits, inputs.present)
    return outputs, of_blank.reshape(*shape, *of_blank.shape[1:])


def _run_view(
    decoder: Decoder,
    params: Any,
    tokens: Tokens,
    view: View,
    states: jax.Array | None,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
    context: Context | None = None,
) -> jax.Array:
    """Runs some of the stages on tokens with the visibility of a view."""
    view = view.behind(context)
    first_key, *keys = base.split_key(key, 1 + decoder.num_layers)
    if first == 0:
        with jax.named_scope("embeddings"):  # Profiles find it by this name.
            x = decoder.embed(params, jnp.asarray(tokens.ids), view, first_key)
    else:
        x = view.rows.pack(cast(jax.Array, states))

    @functools.cache
    def without_cache(layer: LayerFn) -> _stack.LayerFn:
        """Returns a layer as `run_layers` calls it, the same for the same layer."""
        return lambda x, all_three: layer(x, *all_three)[0]

    numbers = range(max(first - 1, 0), min(last - 1, decoder.num_layers))
    pasts = _pasts(decoder, context)
    pairs = decoder.layers(params, view, numbers)
    layers = [
        (without_cache(layer), (arguments, pasts[number], keys[number]))
        for number, (layer, arguments) in zip(numbers, pairs, strict=True)
    ]
    with jax.named_scope("decoder"):
        x = _stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat)
        x = view.rows.unpack(x)
    return _logits(decoder, params, x) if last > 1 + decoder.num_layers else x


def _read(
    decoder: Decoder,
    size: int,
    params: Any,
    support: base.Batch,
    key: chex.PRNGKey | None,
    *,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> Context:
    """Encodes a support set as one text; see `LanguageModel.in_context`."""
    text = support_text(support, size)
    ids, mask = text.ids[None], text.mask[None]
    decoder.check_room(ids.shape[1], 0)
    view = _whole_texts(_packing.Rows((1, ids.shape[1]), None, None), mask)
    first_key, *keys = base.split_key(key, 1 + decoder.num_layers)

    @functools.cache
    def collecting(layer: LayerFn) -> _stack.CollectFn:
        """Returns a layer with its keys and values, the same for the same layer."""
        return lambda x, both: layer(x, both[0], None, both[1])

    with jax.named_scope("embeddings"):
        x = decoder.embed(params, ids, view, first_key)
    pairs = decoder.layers(params, view, range(decoder.num_layers))
    layers = [
        (collecting(layer), (arguments, key))
        for key, (layer, arguments) in zip(keys, pairs, strict=True)
    ]
    with jax.named_scope("decoder"):
        _, kept = _stack.run_and_collect(x, layers, layer_loop=layer_loop, remat=remat)
    return Context(tuple(kept), text.mask, text.left_out)


def _begin(
    decoder: Decoder,
    params: Any,
    prompts: Tokens,
    num_new: int,
    num_beams: int = 1,
    *,
    context: Context | None = None,
) -> tuple[jax.Array, Cache]:
    """Encodes prompts; see `LanguageModel`."""
    ids, mask = jnp.asarray(prompts.ids), jnp.asarray(prompts.mask)
    num_texts, length = ids.shape
    decoder.check_room(length, num_new, context)
    rows = _packing.Rows((num_texts, length), None, None)
    view = _whole_texts(rows, mask, context)
    x = decoder.embed(params, ids, view, None)
    x, kept = _run_cached(decoder, params, x, view, _pasts(decoder, context))

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
    *,
    context: Context | None = None,
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
    ).behind(context)
    x = decoder.embed(params, ids, view, None)
    slot = cache.mask.shape[1] + step * num_beams
    pasts = _pasts(decoder, context, cache.kept, slot)
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
    """Runs every layer, and returns its keys and values, without those of a context."""
    layers, all_kept = decoder.layers(params, view, range(decoder.num_layers)), []
    for (layer, arguments), past in zip(layers, pasts, strict=True):
        x, kept = layer(x, arguments, past, None)
        all_kept.append(kept.per_text if isinstance(kept, SharedKeyValues) else kept)
    return x, tuple(all_kept)


def _pasts(
    decoder: Decoder,
    context: Context | None,
    per_text: Sequence[KeyValues | None] | None = None,
    slot: chex.Numeric = 0,
) -> list[Past | None]:
    """Returns the keys and values that new tokens attend to in each layer.

    Args:
      decoder: the decoder.
      context: the context; None for none.
      per_text: slots of each text in each layer; None before there are any.
      slot: number of the first new slot.
    """
    per_text = per_text or [None] * decoder.num_layers
    if context is not None:
        pairs = zip(context.kept, per_text, strict=True)
        return [Past(SharedKeyValues(*pair), slot) for pair in pairs]
    return [None if kept is None else Past(kept, slot) for kept in per_text]


def _whole_texts(
    rows: _packing.Rows, mask: jax.Array, context: Context | None = None
) -> View:
    places = _attention.positions(mask)
    return View(rows, _attention.causal(mask), places, places).behind(context)


def _logits(decoder: Decoder, params: Any, x: jax.Array) -> jax.Array:
    """Computes logits `[B, l, V]` of states `[B, l, D]`."""
    logits = decoder.logits(params, x.reshape(-1, x.shape[-1]))
    return logits.reshape(*x.shape[:-1], -1)
