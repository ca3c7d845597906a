"""From texts to feature vectors."""

import functools
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert import _network as _bert
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.layers import _modules, _stack
from metaflax.models.layers._tokens import Tokens

Pooling: TypeAlias = Literal["mean", "first", "pooler", "entities", "tokens"]

# Marks of a text that pooling "entities" reads: where head and tail begin.
NUM_ENTITIES = 2


class Encoder(NamedTuple):
    """A model from texts to features, as two pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters of the network.
      apply: `features = apply(params, tokens, key=None)`, `[B, D]`, or `[B, L, D]`
        where tokens have features of their own; no key, no dropout. That of
        `encoder` is a `base.StagedApply`.
      num_features: D.
    """

    init: base.InitFn
    apply: base.ApplyFn
    num_features: int


def encoder(
    config: BertConfig,
    *,
    pooling: Pooling = "mean",
    standardize: bool = False,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> Encoder:
    r"""A BERT whose hidden states are pooled to one vector for each text, or left.

    Args:
      config: the network.
      pooling: "mean", over the real tokens with the special ones; "first", the hidden
        state of the first token; "pooler", what the pretrained pooler makes of it;
        "entities", the hidden states at the two marks of a text (`Tokens.marks`), one
        behind the other, so that D is twice the network's; "tokens", no pooling: the
        hidden state of every token, without meaning at padding.
      standardize: whether features :math:`x` become :math:`(x - \bar x) / (\sqrt D
        \sigma_x)`, which are centred and of unit length. Distances and inner
        products of such features mean the same whatever the pooling; a zero vector
        stays zero, with finite derivatives.
      dtype: of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and features are at least float32. For
        float64 throughout, parameters must be float64 too.
      layer_loop: "unroll" writes out one layer after the other; "scan" makes one loop
        of those that follow each other and are alike, over a copy of their
        parameters, for which the time to compile does not grow with their number;
        "auto" takes the loop from 24 layers on, and wherever layers run again.
      remat: what of its layers a backward pass finds kept, and does not compute
        again: everything for "none"; the inputs and the products with weights for
        "dots", not attention, norms and activations; the inputs alone for "layers",
        the memory of one layer's activations instead of all for about a third more
        time. Numbers stay the same.

    Returns:
      An `Encoder`, whose stages are the embeddings, each layer, and the pooling.

    Raises:
      ValueError: if `pooling`, `layer_loop` or `remat` is unknown, and from `apply` if
        texts are too long, the parameters hold no pooler to read, or the texts have no
        marks.

    Examples:
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> model = encoder(config, standardize=True)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> features = model.apply(params, Tokens(ids, None, ids > 0), None)
      >>> print(features.shape, jnp.linalg.norm(features, axis=1).round(4))
      (2, 8) [1. 1.]
    """
    _check("pooling", pooling, Pooling)
    _check("layer_loop", layer_loop, _stack.LayerLoop)
    _check("remat", remat, _stack.Remat)
    reads = *_bert.stages(config), "pooler"
    top = len(reads) - 1
    run_below = functools.partial(
        _bert.run_stages,
        config,
        only_first=pooling in ("first", "pooler"),
        dtype=dtype,
        layer_loop=layer_loop,
        remat=remat,
    )

    def init(key: chex.PRNGKey) -> Any:
        return _bert.init_bert(config, key, pooler=pooling == "pooler")

    def pool(params: Any, tokens: Tokens, x: jax.Array) -> jax.Array:
        if pooling == "pooler":
            x = _bert.pooled_first(config, params, x, dtype=dtype)
        x = _modules.widened(x)
        if pooling == "mean":
            x = mean_of_tokens(x, jnp.asarray(tokens.mask))
        if pooling == "entities":
            x = states_at_marks(x, tokens.marks)
        return standardized(x, config.layer_norm_eps) if standardize else x

    def run(params, tokens, states, key, first, last):
        if first < top:
            states = run_below(params, tokens, states, key, first, min(last, top))
        return pool(params, tokens, states) if last > top else states

    num_vectors = NUM_ENTITIES if pooling == "entities" else 1
    num_features = num_vectors * config.hidden_size
    return Encoder(init, base.StagedApply(reads, run), num_features)


def hidden_states(
    config: BertConfig,
    params: Any,
    tokens: Tokens,
    key: chex.PRNGKey | None = None,
    *,
    dtype: Any = jnp.float32,
) -> jax.Array:
    """The last hidden state of every token.

    Args:
      config: the network.
      params: its parameters.
      tokens: `[B, L]` texts.
      key: for dropout; None for none.
      dtype: of computation.

    Returns:
      `[B, L, D]`, at least float32. At padding it is zero if `tokens` are packed, and
      otherwise finite without meaning: mask it.

    Raises:
      ValueError: if texts are longer than the model's positions.
    """
    last = len(_bert.stages(config))
    x = _bert.run_stages(config, params, tokens, None, key, 0, last, dtype=dtype)
    return _modules.widened(x)


def _check(name: str, choice: str, known: Any) -> None:
    if choice not in get_args(known):
        raise ValueError(
            f"unknown {name}={choice!r}; there is {', '.join(get_args(known))}"
        )


def mean_of_tokens(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of `x` `[B, L, D]` over real tokens; zero where there is none."""
    real = mask.astype(x.dtype)[:, :, None]  # [B, L, 1]
    return jnp.sum(x * real, axis=1) / jnp.maximum(jnp.sum(real, axis=1), 1)


def states_at_marks(x: jax.Array, marks: chex.Array | None) -> jax.Array:
    """The states of `x` `[B, L, D]` at both `marks` `[B, 2]`, side by side `[B, 2 D]`.

    Raises:
      ValueError: if there are no two marks a text.
    """
    if marks is None or jnp.shape(marks)[-1] != NUM_ENTITIES:
        raise ValueError(
            'pooling="entities" reads texts with two marked entities; take another'
            " pooling, or a task type that marks them."
        )
    states = jnp.take_along_axis(x, jnp.asarray(marks)[:, :, None], axis=1)
    return states.reshape(len(x), -1)  # [B, 2, D] to [B, 2 D].


def standardized(x: jax.Array, eps: float) -> jax.Array:
    """Centres the features `[B, D]` and gives them unit length."""
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    # The root is taken of a positive number, so that no derivative is infinite.
    scale = jax.lax.rsqrt(variance + max(eps, 1e-12))
    return x * scale * x.shape[-1] ** -0.5
