"""Parts of decoder-only language models, in which their families differ.

Letters of shapes: B texts, l new tokens of a text, S key-value slots, R rows (tokens of
the batch that are worked on), D features, V words.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.generation import _language_model
from metaflax.models.generation._language_model import Context
from metaflax.models.layers import _attention, _modules, _packing, _products
from metaflax.models.layers._attention import Past, Slots


class View(NamedTuple):
    """New tokens of a batch, and the slots of keys and values that they attend to.

    Attributes:
      rows: layout of the tokens `[B, l]` in the batch.
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

    def behind(self, context: Context | None) -> "View":
        """Returns the same tokens after those of a context, which all attend to."""
        if context is None:
            return self
        mask = context.mask.astype(bool)
        length = jnp.sum(mask.astype(jnp.int32))
        num_texts, num_new, _ = self.visible.shape
        before = jnp.broadcast_to(mask, (num_texts, num_new, len(mask)))
        first = jnp.broadcast_to(
            _attention.positions(mask[None]), (num_texts, len(mask))
        )
        return self._replace(
            visible=jnp.concatenate([before, self.visible.astype(bool)], axis=2),
            places=length + self.places,
            slot_places=jnp.concatenate([first, length + self.slot_places], axis=1),
        )


class LayerFn(Protocol):
    """Runs a layer: `x, kept = layer(x, arguments, past, key)`.

    `x` is `[R, D]`; `kept` are keys and values of all slots, those of `past` included.
    """

    def __call__(
        self, x: jax.Array, arguments: Any, past: Past | None, key: Any, /
    ) -> tuple[jax.Array, Slots]: ...


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
      num_layers: number of layers.
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

    def check_room(self, prompt: int, num_new: int, context: Context | None = None):
        """Refuses texts, with a context before them, that outgrow the positions."""
        before = 0 if context is None else context.mask.shape[0]
        limit = self.max_positions, self.limit
        _language_model.check_room(before + prompt, num_new, *limit)


def layer_name(number: int) -> str:
    """Returns the name of a layer in the parameter tree."""
    return f"layer_{number}"


def word_logits(params: Any, x: jax.Array, *, tied: bool, dtype: Any) -> jax.Array:
    """Computes logits `[R, V]` of normalised states `[R, D]`, at least float32.

    Args:
      params: with `embeddings/word`, or with `head/kernel`.
      x: the states.
      tied: whether the output layer is tied to the word embedding.
      dtype: dtype of the product.
    """
    if tied:
        kernel = jnp.asarray(params["embeddings"]["word"], dtype).T
    else:
        kernel = jnp.asarray(params["head"]["kernel"], dtype)
    return _modules.widened(_products.matmul(x.astype(dtype), kernel))
