"""Greedy decoding and sampling from generative language models.

Letters of shapes: B texts, P tokens of a prompt, T new ones, V words.

All shapes are static: prompts are padded to P, generated texts to T. So a function made
here is compiled once for each (B, P). Its loop ends as soon as every text has ended.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from metaflax.models.generation import _sampling
from metaflax.models.generation._language_model import Cache, LanguageModel


class Generated(NamedTuple):
    """Generated texts of B prompts, without the prompts.

    Attributes:
      ids: `[B, T]` int32, filled up behind the end.
      mask: `[B, T]` int32, 1 for each generated token, the one that ends a text among
        them, and 0 behind.
      scores: `[B]`, the log-probability of the text under the model, or the score that
        beam search ranks texts by.
    """

    ids: jax.Array
    mask: jax.Array
    scores: jax.Array


class GenerateFn(Protocol):
    """Generates: `generated = generate(params, prompts, key=None)`."""

    def __call__(
        self, params: Any, prompts: Any, key: chex.PRNGKey | None = None
    ) -> Generated: ...


def greedy(
    model: LanguageModel,
    *,
    max_new: int,
    end: int | Sequence[int] | None = None,
    pad: int = 0,
    repetition_penalty: float = 1.0,
) -> GenerateFn:
    """Decodes greedily: takes the most likely word at each step.

    Args:
      model: generative model, such as `gpt` or `llama` builds.
      max_new: new tokens T, at most.
      end: the id that ends a text, or several any of which does; None for texts of T
        tokens.
      pad: the id that fills texts up.
      repetition_penalty: above 1, makes words less likely that have occurred, in the
        prompt (of a decoder) or since; 1 for no difference.

    Returns:
      A compiled `GenerateFn`, which may be vectorised over parameters and prompts. It
      needs no key. Padding of prompts and their order change nothing.

    Raises:
      ValueError: if an argument makes no sense, and when called if prompts are longer
        than the model.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import greedy
      >>> from metaflax.models import GPTConfig, Tokens, gpt
      >>> config = GPTConfig(vocab_size=9, n_embd=8, n_head=2, n_layer=1,
      ...                    n_positions=6, bos_token_id=None, eos_token_id=None)
      >>> model = gpt(config)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> generated = greedy(model, max_new=3)(params, Tokens(ids, None, ids > 0))
      >>> generated.ids.shape, generated.mask.tolist()
      ((2, 3), [[1, 1, 1], [1, 1, 1]])
    """
    decoding = checked(model, max_new, end, pad, repetition_penalty)
    generate = _one_by_one(decoding, lambda logits, key: _sampling.most_likely(logits))
    return _compiled(generate, needs_key=False)


def sampling(
    model: LanguageModel,
    *,
    max_new: int,
    end: int | Sequence[int] | None = None,
    pad: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
) -> GenerateFn:
    """Samples each word from the distribution of the model.

    Args:
      model: generative model, such as `gpt` or `llama` builds.
      max_new: new tokens T, at most.
      end: the id that ends a text, or several any of which does; None for texts of T
        tokens.
      pad: the id that fills texts up.
      temperature: divides logits; below 1 likely words get likelier.
      top_k: how many words may be drawn, the most likely ones; None for all.
      top_p: in (0, 1]; only as many of the most likely words may be drawn as are
        needed to reach this probability.
      repetition_penalty: as `greedy` has it; it comes first.

    Returns:
      A compiled `GenerateFn`, a pure function of its key. What is drawn for a text
      depends on the key and the text's number in the batch, not on the other texts.

    Raises:
      ValueError: if an argument makes no sense, and when called if prompts are longer
        than the model or there is no key.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import sampling
      >>> from metaflax.models import GPTConfig, Tokens, gpt
      >>> config = GPTConfig(vocab_size=9, n_embd=8, n_head=2, n_layer=1,
      ...                    n_positions=6, bos_token_id=None, eos_token_id=None)
      >>> model = gpt(config)
      >>> generate = sampling(model, max_new=3, temperature=0.7, top_p=0.9)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> prompts = Tokens(ids, None, ids > 0)
      >>> generate(params, prompts, jax.random.key(1)).ids.shape
      (2, 3)

    References:
      Holtzman et al., `The Curious Case of Neural Text Degeneration
      <https://arxiv.org/abs/1904.09751>`_, 2020.
    """
    decoding = checked(model, max_new, end, pad, repetition_penalty)
    if not temperature > 0:
        raise ValueError(
            f"temperature must be positive, got {temperature!r}; for none, take greedy"
        )
    if top_k is not None and not _is_positive_integer(top_k):
        raise ValueError(f"top_k must be a positive integer or None, got {top_k!r}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p!r}")

    def choose(logits: jax.Array, key: chex.PRNGKey) -> jax.Array:
        numbers = jnp.arange(logits.shape[0])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        return _sampling.draw(
            logits, keys, temperature=temperature, top_k=top_k, top_p=top_p
        )

    return _compiled(_one_by_one(decoding, choose), needs_key=True)


class Decoding(NamedTuple):
    """Settings that all decoding strategies share."""

    model: LanguageModel
    max_new: int
    end: tuple[int, ...]
    pad: int
    repetition_penalty: float

    def seen(self, prompts: Any) -> jax.Array | None:
        """Marks the words `[B, V]` of the prompts; None without repetition penalty.

        Padding does not count, whatever its id.
        """
        if self.repetition_penalty == 1:
            return None
        ids, mask = self.model.prompt_tokens(prompts)
        texts = jnp.arange(ids.shape[0])[:, None]
        none = jnp.zeros((ids.shape[0], self.model.vocab_size), bool)
        return none.at[texts, ids].max(mask.astype(bool))

    def penalized(self, logits: jax.Array, seen: jax.Array | None) -> jax.Array:
        """Applies the repetition penalty, if there is one."""
        if seen is None:
            return logits
        return _sampling.penalized(logits, seen, self.repetition_penalty)

    def ends(self, ids: jax.Array) -> jax.Array:
        """Marks the ids that end a text."""
        return jnp.isin(ids, jnp.asarray(self.end, ids.dtype))


def checked(
    model: LanguageModel,
    max_new: int,
    end: int | Sequence[int] | None,
    pad: int,
    repetition_penalty: float,
) -> Decoding:
    """Checks settings of decoding.

    Raises:
      ValueError: if one is invalid.
    """
    if not _is_positive_integer(max_new):
        raise ValueError(f"max_new must be a positive integer, got {max_new!r}")
    if not repetition_penalty > 0:
        raise ValueError(
            f"repetition_penalty must be positive, got {repetition_penalty!r}"
        )
    ends = tuple(end) if isinstance(end, Sequence) else (end,)
    ends = tuple(token for token in ends if token is not None)
    for name, token in (*(("end", token) for token in ends), ("pad", pad)):
        if not 0 <= token < model.vocab_size:
            raise ValueError(
                f"{name} must be an id below the model's vocab_size="
                f"{model.vocab_size}, got {token!r}"
            )
    return Decoding(model, max_new, ends, pad, repetition_penalty)


class _State(NamedTuple):
    """Unfinished texts, of `step` tokens."""

    step: jax.Array
    ids: jax.Array  # [B, T]
    lengths: jax.Array  # [B]
    scores: jax.Array  # [B]
    done: jax.Array  # [B]
    seen: jax.Array | None  # [B, V]


def _one_by_one(
    decoding: Decoding, choose: Callable[[jax.Array, Any], jax.Array]
) -> GenerateFn:
    """Decodes word by word, each chosen by logits `[B, V]` and a key."""
    model, T = decoding.model, decoding.max_new

    def add(state: _State, logits: jax.Array, key: chex.PRNGKey | None) -> _State:
        """Chooses word number `state.step`."""
        B = logits.shape[0]
        if key is not None:
            key = jax.random.fold_in(key, state.step)
        next_ids = choose(decoding.penalized(logits, state.seen), key)
        logit = jnp.take_along_axis(logits, next_ids[:, None], axis=1)[:, 0]
        gain = logit - jax.nn.logsumexp(logits, axis=1)
        next_ids = jnp.where(state.done, decoding.pad, next_ids).astype(state.ids.dtype)
        seen = state.seen
        if seen is not None:
            seen = seen.at[jnp.arange(B), next_ids].max(~state.done)
        return _State(
            step=state.step + 1,
            ids=jax.lax.dynamic_update_slice(
                state.ids, next_ids[:, None], (0, state.step)
            ),
            lengths=state.lengths + ~state.done,
            scores=state.scores + jnp.where(state.done, 0, gain),
            done=state.done | decoding.ends(next_ids),
            seen=seen,
        )

    def generate(
        params: Any, prompts: Any, key: chex.PRNGKey | None = None
    ) -> Generated:
        logits, cache = model.begin(params, prompts, T, 1)
        B = logits.shape[0]

        def go_on(both: tuple[_State, Cache]) -> tuple[_State, Cache]:
            state, cache = both
            last = state.step - 1
            ids = jax.lax.dynamic_slice_in_dim(state.ids, last, 1, axis=1)  # [B, 1]
            earlier = jnp.broadcast_to(jnp.arange(T) <= last, (B, 1, T))
            logits, cache = model.extend(params, cache, ids, earlier, last)
            return add(state, logits[:, 0], key), cache

        state = _State(
            step=jnp.zeros((), jnp.int32),
            ids=jnp.full((B, T), decoding.pad, jnp.int32),
            lengths=jnp.zeros(B, jnp.int32),
            scores=jnp.zeros(B, logits.dtype),
            done=jnp.zeros(B, bool),
            seen=decoding.seen(prompts),
        )
        state, _ = jax.lax.while_loop(
            lambda both: (both[0].step < T) & ~jnp.all(both[0].done),
            go_on,
            (add(state, logits, key), cache),
        )
        return Generated(state.ids, mask_of(state.lengths, T), state.scores)

    return generate


def mask_of(lengths: jax.Array, num: int) -> jax.Array:
    """Returns a mask of the first `lengths` `[B]` of `num` tokens of each text."""
    return (jnp.arange(num)[None] < lengths[:, None]).astype(jnp.int32)


def _compiled(generate: GenerateFn, *, needs_key: bool) -> GenerateFn:
    """Compiles, and refuses to draw without a key."""
    compiled = jax.jit(generate)

    def call(params: Any, prompts: Any, key: chex.PRNGKey | None = None) -> Generated:
        if needs_key and key is None:
            raise ValueError(
                "sampling draws from a key; call generate(params, prompts,"
                " jax.random.key(0))"
            )
        return compiled(params, prompts, key if needs_key else None)

    return call


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
