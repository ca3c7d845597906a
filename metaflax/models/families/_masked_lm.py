"""Masked language models: an encoder below an output layer tied to its words."""

import functools
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families import _masked_lm_files
from metaflax.models.families._contract import MaskedLMFamily
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.layers import _stack
from metaflax.models.layers._config import EncoderConfig
from metaflax.models.layers._encoder import EncoderNetwork
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


def masked_lm_family(
    network: EncoderNetwork, files: EncoderFiles, head: WordHead
) -> MaskedLMFamily:
    """Makes the masked language models of a family of encoders.

    Args:
      network: the parts of its networks.
      files: names of the encoder's tensors.
      head: the output layer.
    """
    return MaskedLMFamily(
        network=functools.partial(masked_lm, network, files, head),
        init_head=functools.partial(head.init, files),
        read=functools.partial(_masked_lm_files.read, files, head),
        write=functools.partial(_masked_lm_files.write, files, head),
    )


def masked_lm(
    network: EncoderNetwork,
    files: EncoderFiles,
    head: WordHead,
    config: EncoderConfig,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> MaskedLM:
    r"""Builds an encoder with the output layer of masked language modelling.

    The states at the marks go through a dense layer, the activation and a norm, and are
    multiplied by the word embeddings, which are thereby both input and output layer:

    .. math::

      \mathrm{logits} = \mathrm{norm}(\mathrm{gelu}(x W + b)) E^\top + c.

    Logits are computed at the marks only: the vocabulary is so large that those
    of all tokens would cost more than the network.

    Args:
      network: the parts of the encoder.
      files: names of the encoder's tensors.
      head: the output layer.
      config: sizes and rates.
      dtype: dtype of computation; logits are at least float32.
      layer_loop: whether layers are unrolled or scanned, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `MaskedLM`; `apply` raises a `ValueError` for texts without marks, or longer
      than the model's positions.

    Examples:
      >>> from metaflax.models import BertConfig
      >>> from metaflax.models.families import FAMILIES
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> model = FAMILIES["bert"].masked_lm.network(config)
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
    last, module = len(network.stages(config)), head.module(config, dtype)

    def init(key: chex.PRNGKey) -> Any:
        encoder_key, head_key = jax.random.split(key)
        encoder = network.init(config, encoder_key)
        return {"encoder": encoder, "head": head.init(files, config, head_key)}

    def apply(params: Any, tokens: Tokens, key: chex.PRNGKey | None = None):
        if tokens.marks is None:
            raise ValueError(
                "a masked language model predicts the words at the marks of a text, and"
                " these tokens have none."
            )
        states = network.run_stages(
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
        logits = cast(jax.Array, module.apply(variables, rows, word))
        return logits.reshape(*marks.shape, -1)  # [B, P, V]

    return MaskedLM(init, apply)
