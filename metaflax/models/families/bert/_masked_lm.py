"""BERT as a masked language model."""

from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._network import NETWORK
from metaflax.models.layers import _stack
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.layers._tokens import Tokens


class MaskedLM(NamedTuple):
    """A masked language model, as two pure functions.

    Attributes:
      init: `params = init(key)`, fresh `{"encoder": ..., "head": ...}`.
      apply: `logits = apply(params, tokens, key=None)`, `[B, P, V]`, of every word at
        the P marks of each text (`Tokens.marks`); no key, no dropout.
    """

    init: base.InitFn
    apply: base.ApplyFn


def masked_lm(
    config: BertConfig,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> MaskedLM:
    r"""Builds a BERT with the output layer of masked language modelling.

    The states at the marks go through a dense layer, the activation and a norm, and
    meet every word's embedding, which is thereby both input and output layer:

    .. math::

      \mathrm{logits} = \mathrm{norm}(\mathrm{gelu}(x W + b)) E^\top + c.

    Logits are computed at the marks only: the vocabulary is so large that those
    of all tokens would cost more than the network.

    Args:
      config: the network.
      dtype: of computation; logits are at least float32.
      layer_loop: whether layers are unrolled or scanned, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `MaskedLM`; `apply` raises a `ValueError` for texts without marks, or longer
      than the model's positions.

    Examples:
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> model = masked_lm(config)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 4, 5, 2], [1, 4, 4, 2]])  # 4 is the mask.
      >>> marks = jnp.array([[1, 0], [1, 2]])
      >>> tokens = Tokens(ids, None, jnp.ones_like(ids), marks=marks)
      >>> model.apply(params, tokens, None).shape
      (2, 2, 9)

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for Language
      Understanding <https://arxiv.org/abs/1810.04805>`_, 2019.
    """
    last = len(NETWORK.stages(config))

    def init(key: chex.PRNGKey) -> Any:
        encoder_key, head_key = jax.random.split(key)
        encoder = NETWORK.init(config, encoder_key)
        return {"encoder": encoder, "head": init_head(config, head_key)}

    def apply(params: Any, tokens: Tokens, key: chex.PRNGKey | None = None):
        if tokens.marks is None:
            raise ValueError(
                "a masked language model predicts the words at the marks of a text, and"
                " these tokens have none."
            )
        states = NETWORK.run_stages(
            config,
            params["encoder"],
            tokens,
            None,
            key,
            0,
            last,
            dtype=dtype,
            layer_loop=layer_loop,
            remat=remat,
        )
        marks = jnp.asarray(tokens.marks)
        marked = jnp.take_along_axis(states, marks[:, :, None], axis=1)  # [B, P, D]
        word = params["encoder"]["embeddings"]["word"]
        variables = {"params": params["head"]}
        rows = marked.reshape(-1, marked.shape[-1])  # [B * P, D]
        logits = cast(
            jax.Array, TiedWordHead(config, dtype).apply(variables, rows, word)
        )
        return logits.reshape(*marks.shape, -1)  # [B, P, V]

    return MaskedLM(init, apply)


def init_head(config: BertConfig, key: chex.PRNGKey) -> Any:
    """Initialises an output layer, for an encoder that came without one."""
    state = jnp.zeros((1, config.hidden_size))
    word = jnp.zeros((config.vocab_size, config.hidden_size))
    return TiedWordHead(config, jnp.float32).init(key, state, word)["params"]
