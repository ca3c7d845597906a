"""Beam search.

Letters of shapes: B prompts, K beams, C = 2 * K candidates, T new tokens, V words.

Beams are reordered at every step, but the key-value cache is not: new tokens of all
beams form one tree, and `visible` marks the nodes that a beam descends from. Copying
keys and values from beam to beam would cost more than attending to them.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from metaflax.models.generation._generate import (
    Decoding,
    Generated,
    GenerateFn,
    checked,
    mask_of,
)
from metaflax.models.generation._language_model import Cache, LanguageModel

# Far below any score, yet finite, so that sums with it still have an order.
_NEVER = -1e9


def beam_search(
    model: LanguageModel,
    *,
    max_new: int,
    num_beams: int = 4,
    end: int | Sequence[int] | None = None,
    pad: int = 0,
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
    repetition_penalty: float = 1.0,
) -> GenerateFn:
    r"""Decodes by beam search.

    A text of n tokens :math:`y` is ranked by :math:`\log p(y) / n^\alpha`, with
    :math:`\alpha` the length penalty. Everything is as in Hugging Face's `generate`.

    Args:
      model: generative model, such as `gpt` or `llama` builds.
      max_new: new tokens T, at most.
      num_beams: texts K that are pursued side by side.
      end: the id that ends a text, or several any of which does; None for texts of T
        tokens.
      pad: the id that fills texts up.
      length_penalty: above 0 favours long texts, below 0 short ones.
      early_stopping: whether a prompt is done once K texts have ended. If False, it is
        done once no text of the present length would be better than those; if "never",
        once none of any length would, as far as one can tell.
      repetition_penalty: as `greedy` has it, on log-probabilities.

    Returns:
      A compiled `GenerateFn`, which may be vectorised over parameters and prompts. It
      needs no key. Scores are those by which texts are ranked.

    Raises:
      ValueError: if an argument makes no sense, and when called if prompts are longer
        than the model.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import beam_search
      >>> from metaflax.models import GPTConfig, Tokens, gpt
      >>> config = GPTConfig(vocab_size=9, n_embd=8, n_head=2, n_layer=1,
      ...                    n_positions=6, bos_token_id=None, eos_token_id=None)
      >>> model = gpt(config)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> generate = beam_search(model, max_new=3, num_beams=2)
      >>> generate(params, Tokens(ids, None, ids > 0)).ids.shape
      (2, 3)

    References:
      Wu et al., `Google's Neural Machine Translation System
      <https://arxiv.org/abs/1609.08144>`_, 2016.
    """
    decoding = checked(model, max_new, end, pad, repetition_penalty)
    if isinstance(num_beams, bool) or not isinstance(num_beams, int) or num_beams < 1:
        raise ValueError(f"num_beams must be a positive integer, got {num_beams!r}")
    if early_stopping not in (True, False, "never"):
        raise ValueError(
            f"early_stopping must be True, False or 'never', got {early_stopping!r}"
        )
    search = _Search(decoding, num_beams, length_penalty, early_stopping)
    compiled = jax.jit(search.generate)

    def generate(
        params: Any, prompts: Any, key: chex.PRNGKey | None = None
    ) -> Generated:
        del key  # Nothing is drawn.
        return compiled(params, prompts)

    return generate


class _Running(NamedTuple):
    """The K unfinished texts."""

    ids: jax.Array  # [B, K, T]
    scores: jax.Array  # [B, K], log-probabilities
    visible: jax.Array  # [B, K, T, K], the nodes of the tree that each descends from
    seen: jax.Array | None  # [B, K, V]


class _Ended(NamedTuple):
    """The K best texts that have ended, best first."""

    ids: jax.Array  # [B, K, T]
    scores: jax.Array  # [B, K]
    lengths: jax.Array  # [B, K]
    taken: jax.Array  # [B, K], whether there is one


class _State(NamedTuple):
    """The search for each prompt, after `step` tokens."""

    step: jax.Array
    running: _Running
    ended: _Ended
    open: jax.Array  # [B], whether it may get better


class _Search(NamedTuple):
    """A beam search with the settings of `beam_search`."""

    decoding: Decoding
    num_beams: int
    length_penalty: float
    early_stopping: bool | Literal["never"]

    def generate(self, params: Any, prompts: Any) -> Generated:
        (model, T, *_), K = self.decoding, self.num_beams
        logits, cache = model.begin(params, prompts, T, K)
        B, V = logits.shape

        def go_on(both: tuple[_State, Cache]) -> tuple[_State, Cache]:
            state, cache = both
            last, running = state.step - 1, state.running
            ids = jax.lax.dynamic_index_in_dim(running.ids, last, 2, keepdims=False)
            visible = running.visible.reshape(B, K, T * K)
            logits, cache = model.extend(params, cache, ids, visible, last)
            return self.advanced(state, logits), cache

        # All beams begin alike, so that only the first may count.
        state = self.begun(B, self.decoding.seen(prompts))
        state = self.advanced(state, jnp.broadcast_to(logits[:, None], (B, K, V)))
        state, _ = jax.lax.while_loop(self.goes_on, go_on, (state, cache))
        ended = jax.tree.map(lambda x: x[:, 0], state.ended)
        return Generated(ended.ids, mask_of(ended.lengths, T), ended.scores)

    def begun(self, B: int, seen: jax.Array | None) -> _State:
        """Returns the state before the first step."""
        K, T = self.num_beams, self.decoding.max_new
        empty = jnp.full((B, K, T), self.decoding.pad, jnp.int32)
        if seen is not None:
            seen = jnp.broadcast_to(seen[:, None], (B, K, seen.shape[1]))
        first = jnp.where(jnp.arange(K) == 0, 0.0, _NEVER)
        return _State(
            jnp.zeros((), jnp.int32),
            _Running(
                empty,
                jnp.broadcast_to(first, (B, K)),
                jnp.zeros((B, K, T, K), bool),
                seen,
            ),
            _Ended(
                empty,
                jnp.full((B, K), _NEVER),
                jnp.zeros((B, K), jnp.int32),
                jnp.zeros((B, K), bool),
            ),
            jnp.ones(B, bool),
        )

    def goes_on(self, both: tuple[_State, Cache]) -> jax.Array:
        """Returns whether the search of any prompt goes on."""
        state, _ = both
        return (state.step < self.decoding.max_new) & jnp.any(self.improvable(state))

    def improvable(self, state: _State) -> jax.Array:
        """Marks the prompts that may still get a better text, `[B]`."""
        if self.early_stopping is True:
            return state.open & ~jnp.all(state.ended.taken, axis=1)
        return state.open

    def advanced(self, state: _State, logits: jax.Array) -> _State:
        """Chooses word number `state.step` of every beam, by its logits `[B, K, V]`."""
        K, T, step = self.num_beams, self.decoding.max_new, state.step
        running = state.running
        scores, parents, words = self.candidates(running, logits)
        ids = _of_beams(running.ids, parents)  # [B, C, T]
        ids = jax.lax.dynamic_update_slice_in_dim(ids, words[:, :, None], step, axis=2)
        ends = self.decoding.ends(words) | (step + 1 == T)

        ended = self.with_ended(state, ids, scores, ends)
        going, best = jax.lax.top_k(scores + _NEVER * ends, K)
        parents, words = (_of_beams(x, best) for x in (parents, words))
        running = _Running(
            _of_beams(ids, best),
            going,
            _grown(_of_beams(running.visible, parents), step),
            _with_words(running.seen, parents, words),
        )
        state = _State(step + 1, running, ended, state.open)
        return state._replace(open=state.open & self.may_improve(state))

    def candidates(
        self, running: _Running, logits: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the C best continuations: scores, the beams they extend, and words.

        Up to K of them may end, and K are left to go on with.
        """
        V = logits.shape[2]
        log_probs = self.decoding.penalized(jax.nn.log_softmax(logits), running.seen)
        scores = log_probs + running.scores[:, :, None]
        # Twice, for no more than C can come from one beam, and short lists are quick.
        C = 2 * self.num_beams
        each, words = jax.lax.top_k(scores, min(C, V))  # [B, K, C]
        B, K, num = each.shape
        best, indices = jax.lax.top_k(each.reshape(B, K * num), C)
        return best, indices // num, _of_beams(words.reshape(B, K * num), indices)

    def with_ended(
        self, state: _State, ids: jax.Array, scores: jax.Array, ends: jax.Array
    ) -> _Ended:
        """Returns the best ended texts, including those that end now."""
        B, C = scores.shape
        length = state.step + 1
        # Of the candidates only the better half would have gone on.
        taken = ends & (jnp.arange(C) < self.num_beams)[None]
        possible = taken & self.improvable(state)[:, None]
        scores = scores / jnp.asarray(length, scores.dtype) ** self.length_penalty
        scores = scores + _NEVER * ~possible
        now = _Ended(ids, scores, jnp.full((B, C), length), taken)
        both = jax.tree.map(
            lambda x, y: jnp.concatenate([x, y.astype(x.dtype)], axis=1),
            state.ended,
            now,
        )
        _, best = jax.lax.top_k(both.scores, self.num_beams)
        return jax.tree.map(lambda x: _of_beams(x, best), both)

    def may_improve(self, state: _State) -> jax.Array:
        """Marks the prompts whose unfinished texts may beat an ended one, `[B]`."""
        far = self.early_stopping == "never" and self.length_penalty > 0
        length = jnp.asarray(self.decoding.max_new if far else state.step, jnp.float32)
        hoped = state.running.scores[:, 0] / length**self.length_penalty
        worst = jnp.min(state.ended.scores, axis=1)
        return (hoped > worst) | ~jnp.all(state.ended.taken, axis=1)


def _of_beams(x: jax.Array, beams: jax.Array) -> jax.Array:
    """Selects beams `[B, k]` of `x` `[B, K, ...]`, giving `[B, k, ...]`."""
    return jax.vmap(lambda x, beams: x[beams])(x, beams)


def _grown(visible: jax.Array, step: jax.Array) -> jax.Array:
    """Adds to the visibility `[B, K, T, K]` of each beam the word it chose."""
    _, K, T, _ = visible.shape
    now = (jnp.arange(T) == step)[None, :, None] & jnp.eye(K, dtype=bool)[:, None]
    return visible | now[None]


def _with_words(
    seen: jax.Array | None, parents: jax.Array, words: jax.Array
) -> jax.Array | None:
    """Adds the new words to those that have occurred, `[B, K, V]`."""
    if seen is None:
        return None
    now = jax.nn.one_hot(words, seen.shape[2], dtype=bool)
    return _of_beams(seen, parents) | now
