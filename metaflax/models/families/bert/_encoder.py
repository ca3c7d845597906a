"""BERT encoders, from texts to feature vectors."""

import functools
from typing import Any, get_args

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert import _network as _bert
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.layers import _pooling, _stack
from metaflax.models.layers._pooling import Encoder, Pooling
from metaflax.models.layers._tokens import Tokens


def encoder(
    config: BertConfig,
    *,
    pooling: Pooling = "mean",
    standardize: bool = False,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> Encoder:
    r"""Builds a BERT whose hidden states are pooled to one vector for each text.

    Args:
      config: the network.
      pooling: "mean", over the real tokens with the special ones; "first", the hidden
        state of the first token; "pooler", the output of the pretrained pooler;
        "entities", the concatenated hidden states at the two marks of a text
        (`Tokens.marks`), so that D is twice the network's; "tokens", no pooling: the
        hidden state of every token, arbitrary at padding.
      standardize: whether features :math:`x` become :math:`(x - \bar x) / (\sqrt D
        \sigma_x)`, which are centred and of unit length. Distances and inner
        products of such features mean the same whatever the pooling; a zero vector
        stays zero, with finite derivatives.
      dtype: of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and features are at least float32. For
        float64 throughout, parameters must be float64 too.
      layer_loop: "unroll" unrolls the layers; "scan" runs consecutive layers of equal
        shapes in one loop over a stacked copy of their parameters, so that compile
        time does not grow with their number; "auto" scans from 24 layers on, and
        wherever layers are rematerialised.
      remat: which activations are kept for the backward pass and not recomputed: all
        for "none"; the inputs and the products with weights for "dots", not attention,
        norms and activations; the inputs of layers alone for "layers", the memory of
        one layer's activations instead of all for about a third more time. Numbers
        stay the same.

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
        return _pooling.pool(
            x, tokens, pooling, standardize=standardize, eps=config.layer_norm_eps
        )

    def run(params, tokens, states, key, first, last):
        if first < top:
            states = run_below(params, tokens, states, key, first, min(last, top))
        return pool(params, tokens, states) if last > top else states

    num_features = _pooling.num_features(pooling, config.hidden_size)
    return Encoder(
        init, base.StagedApply(reads, run, examples_independent=True), num_features
    )


def _check(name: str, choice: str, known: Any) -> None:
    if choice not in get_args(known):
        raise ValueError(
            f"unknown {name}={choice!r}; there is {', '.join(get_args(known))}"
        )
