"""Generative language models: logits of next tokens, at once or step by step."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, get_args

import chex
import jax

from metaflax import base
from metaflax.models.layers import _attention, _stack
from metaflax.models.layers._tokens import Tokens


class Cache(NamedTuple):
    """Key-value cache.

    New tokens of a text lie in slots after those of its prompt, where they form a tree:
    each of K beams attends to the tokens it descends from. Reordering beams moves
    nothing in the cache.

    Attributes:
      kept: keys and values of each layer, with S = P + T * K slots.
      mask: `[B, P]`, which slots of the prompt are real tokens.
      fixed: further state of the model that never changes.
    """

    kept: tuple[_attention.KeyValues, ...]
    mask: jax.Array
    fixed: Any = None

    def visible(self, new: jax.Array) -> jax.Array:
        """Returns all visible slots `[B, K, S]`, from the new ones `[B, K, T * K]`."""
        B, K, _ = new.shape
        prompt = jax.numpy.broadcast_to(
            self.mask.astype(bool)[:, None], (B, K, self.mask.shape[1])
        )
        return jax.numpy.concatenate([prompt, new.astype(bool)], axis=2)


class BeginFn(Protocol):
    """Encodes prompts: `logits, cache = begin(params, prompts, num_new, num_beams)`.

    Logits `[B, V]` are those of the first new token; the cache has room for `num_new`
    tokens of as many beams. A prompt that is too long for the model raises a
    ValueError.
    """

    def __call__(
        self, params: Any, prompts: Any, num_new: int, num_beams: int = 1, /
    ) -> tuple[jax.Array, Cache]: ...


class ExtendFn(Protocol):
    """Appends one token to each beam.

    `logits, cache = extend(params, cache, ids, visible, step)`: `ids` `[B, K]` are the
    new tokens number `step`, which occupy new slots `step * K` to `step * K + K - 1`;
    `visible` `[B, K, T * K]` marks the new slots that each attends to, itself
    included. Logits are `[B, K, V]`.
    """

    def __call__(
        self,
        params: Any,
        cache: Cache,
        ids: jax.Array,
        visible: jax.Array,
        step: chex.Numeric,
        /,
    ) -> tuple[jax.Array, Cache]: ...


class PromptFn(Protocol):
    """Returns ids `[B, P]` that new tokens follow, and which are real `[B, P]`."""

    def __call__(self, prompts: Any, /) -> tuple[jax.Array, jax.Array]: ...


class Context(NamedTuple):
    """Keys and values of C tokens that all texts of a batch follow.

    Attributes:
      kept: keys and values of each layer, `[G, C, d]` of G heads.
      mask: `[C]`, which of the slots are real tokens.
      left_out: `[]`, number of examples that did not fit, each left out whole.
    """

    kept: tuple[_attention.KeyValues, ...]
    mask: jax.Array
    left_out: jax.Array


class LanguageModel(NamedTuple):
    """A generative language model, as pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters of the network.
      apply: `logits = apply(params, inputs, key=None)`, a `base.StagedApply`: of the
        token after each, `[B, L, V]`, all at once; no key, no dropout.
      begin: encodes prompts, and makes a `Cache`.
      extend: appends new tokens, one of each beam.
      prompt_tokens: the tokens that new ones follow.
      vocab_size: V.
      in_context: `apply = in_context(size)`, the same `base.StagedApply` with
        `in_context`, which encodes a support set of at most `size` tokens; further
        examples are left out whole. None for models that condition on no context.
      after: `model = after(context)`, the model of texts that follow a `Context`; None
        where `in_context` is.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import models
      >>> config = models.GPTConfig(
      ...     vocab_size=50,
      ...     n_positions=16,
      ...     n_embd=8,
      ...     n_layer=1,
      ...     n_head=2,
      ...     bos_token_id=1,
      ...     eos_token_id=2,
      ... )
      >>> model = models.gpt(config)
      >>> params = jax.eval_shape(model.init, jax.random.key(0))
      >>> tokens = models.Tokens(jnp.array([[7, 8, 9]]), None, jnp.ones((1, 3)))
      >>> jax.eval_shape(model.apply, params, tokens).shape
      (1, 3, 50)
    """

    init: base.InitFn
    apply: base.StagedApply
    begin: BeginFn
    extend: ExtendFn
    prompt_tokens: PromptFn
    vocab_size: int
    in_context: Callable[[int], base.StagedApply] | None = None
    after: "Callable[[Context], LanguageModel] | None" = None


class Pair(NamedTuple):
    """Inputs and targets of an encoder-decoder.

    Attributes:
      source: B input texts `[B, Ls]`.
      target: their targets, `[B, Lt]`, each with the start token first.

    Examples:
      >>> import numpy as np
      >>> from metaflax import models
      >>> source = models.Tokens(np.array([[7, 8, 9]]), None, np.ones((1, 3)))
      >>> target = models.Tokens(np.array([[0, 5]]), None, np.ones((1, 2)))
      >>> pair = models.Pair(source, target)
      >>> both = pair.concatenate(pair)
      >>> both.source.ids.shape, both.target.ids.shape
      ((2, 3), (2, 2))
    """

    source: Tokens
    target: Tokens

    def concatenate(self, other: "Pair") -> "Pair":
        """Appends the pairs of `other`, of the same lengths."""
        return Pair(
            self.source.concatenate(other.source), self.target.concatenate(other.target)
        )


def check_layers(layer_loop: str, remat: str) -> None:
    """Refuses unknown ways to run layers.

    Raises:
      ValueError: naming the known ones.
    """
    choices = {
        "layer_loop": (layer_loop, _stack.LayerLoop),
        "remat": (remat, _stack.Remat),
    }
    for name, (choice, known) in choices.items():
        if choice not in get_args(known):
            raise ValueError(
                f"unknown {name}={choice!r}; there is {', '.join(get_args(known))}"
            )


def check_room(prompt: int, num_new: int, room: int, limit: str) -> None:
    """Refuses texts that would outgrow the position embeddings.

    Args:
      prompt: tokens P of a prompt, padding included.
      num_new: new tokens T.
      room: number of positions.
      limit: name of the number of positions in the configuration.

    Raises:
      ValueError: if they do not fit.
    """
    if prompt + num_new > room:
        raise ValueError(
            f"prompts of {prompt} tokens and {num_new} new ones are longer than the"
            f" model's {limit}={room}; shorten the prompts, or generate less"
        )
