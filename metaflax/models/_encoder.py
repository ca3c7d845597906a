"""From texts to feature vectors."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models import _bert
from metaflax.models._bert_config import BertConfig
from metaflax.models._tokens import Tokens

Pooling: TypeAlias = Literal["mean", "first", "pooler"]


class Encoder(NamedTuple):
    """A model from texts to features, as two pure functions.

    Attributes:
      init: `params = init(key)`, fresh parameters of the network.
      apply: `features = apply(params, tokens, key=None)`, `[B, D]`; no key, no
        dropout.
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
    remat_layers: bool = False,
) -> Encoder:
    r"""A BERT whose hidden states are pooled to one vector for each text.

    Args:
      config: the network.
      pooling: "mean", over the real tokens with the special ones; "first", the hidden
        state of the first token; "pooler", what the pretrained pooler makes of it.
      standardize: whether features :math:`x` become :math:`(x - \bar x) / (\sqrt D
        \sigma_x)`, which are centred and of unit length. Distances and inner
        products of such features mean the same whatever the pooling; a zero vector
        stays zero, with finite derivatives.
      dtype: of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and features are at least float32. For
        float64 throughout, parameters must be float64 too.
      remat_layers: whether a backward pass keeps the inputs of each layer only, and
        runs the layer again. Numbers stay the same; a gradient then takes about a
        third more time, and the memory of one layer's activations instead of all.
        Layers of equal shape are stacked for it, a further copy of their parameters.

    Returns:
      An `Encoder`.

    Raises:
      ValueError: if `pooling` is unknown, and from `apply` if texts are too long or
        the parameters hold no pooler to read.

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
    if pooling not in get_args(Pooling):
        raise ValueError(
            f"unknown pooling={pooling!r}; there is {', '.join(get_args(Pooling))}"
        )
    reads: _bert.Reads = "all" if pooling == "mean" else pooling

    def init(key: chex.PRNGKey) -> Any:
        return _bert.init_bert(config, key, reads=reads)

    def apply(
        params: Any, tokens: Tokens, key: chex.PRNGKey | None = None
    ) -> jax.Array:
        x = _bert.apply_bert(
            config,
            params,
            tokens,
            key,
            reads=reads,
            dtype=dtype,
            remat_layers=remat_layers,
        )
        if pooling == "mean":
            x = mean_of_tokens(x, jnp.asarray(tokens.mask))
        return standardized(x, config.layer_norm_eps) if standardize else x

    return Encoder(init, apply, config.hidden_size)


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
    return _bert.apply_bert(config, params, tokens, key, dtype=dtype)


def mean_of_tokens(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of `x` `[B, L, D]` over real tokens; zero where there is none."""
    real = mask.astype(x.dtype)[:, :, None]  # [B, L, 1]
    return jnp.sum(x * real, axis=1) / jnp.maximum(jnp.sum(real, axis=1), 1)


def standardized(x: jax.Array, eps: float) -> jax.Array:
    """Centres the features `[B, D]` and gives them unit length."""
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    # The root is taken of a positive number, so that no derivative is infinite.
    scale = jax.lax.rsqrt(variance + max(eps, 1e-12))
    return x * scale * x.shape[-1] ** -0.5
