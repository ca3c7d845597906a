"""GPT-2 as Flax Linen modules that are efficient to differentiate twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, V words, K beams.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `norm/scale`, as that of a BERT does; a kernel is `[in, out]`.
Norms come before blocks. Leaves that `with_lora`, `with_adapters`, `with_prefix` and
`with_context` add are applied wherever they occur.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.generation._decoder import decoder_only
from metaflax.models.generation._decoder_parts import (
    Decoder,
    LayerFn,
    View,
    layer_name,
    word_logits,
)
from metaflax.models.generation._language_model import LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _stack
from metaflax.models.layers._attention import Past, Slots, Source
from metaflax.models.layers._config import ACTIVATIONS


def gpt(
    config: GPTConfig,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> LanguageModel:
    """Builds a GPT-2.

    Its inputs, for training and as prompts, are `Tokens`. Texts may be padded on the
    right or the left, and positions count real tokens, so that padding changes nothing.

    Args:
      config: the network.
      dtype: dtype of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and logits are at least float32.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the embeddings, each layer, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than the model's positions.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import GPTConfig, gpt
      >>> from metaflax.models import Tokens
      >>> config = GPTConfig(vocab_size=9, n_embd=8, n_head=2, n_layer=1,
      ...                    n_positions=6, bos_token_id=None, eos_token_id=None)
      >>> model = gpt(config)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> model.apply(params, Tokens(ids, None, ids > 0), None).shape
      (2, 3, 9)

    References:
      Radford et al., `Language Models are Unsupervised Multitask Learners
      <https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf>`_,
      2019.
    """
    decoder = Decoder(
        init=functools.partial(_init, config),
        embed=functools.partial(_embed, config, dtype),
        layers=functools.partial(_layers, config, dtype),
        logits=functools.partial(_logits, config, dtype),
        num_layers=config.n_layer,
        max_positions=config.n_positions,
        limit="n_positions",
        output=("norm", "embeddings/word" if config.tie_word_embeddings else "head"),
        vocab_size=config.vocab_size,
    )
    return decoder_only(decoder, layer_loop=layer_loop, remat=remat)


class Embeddings(_modules.Embedding):
    """The sum of word and position embeddings."""

    rate: float = 0.0

    @nn.compact
    def __call__(
        self,
        ids: jax.Array,
        positions: jax.Array,
        rows: _packing.Rows,
        key: chex.PRNGKey | None,
    ) -> jax.Array:
        x = self.with_context(self.words_at(ids, positions, rows)).astype(self.dtype)
        return self.dropout(x, key, self.rate)


class Attention(_attention.Attention):
    """Causal self-attention with norm before and residual."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        scale: jax.Array,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, Slots]:
        normed = Source(self.norm(x), rows)
        added, kept = self.attend(normed, normed, bias, key, scale=scale, past=past)
        return x + added, kept


class Mlp(_modules.Block):
    """Feed-forward block with norm before and residual."""

    @nn.compact
    def __call__(self, x: jax.Array, key: chex.PRNGKey | None) -> jax.Array:
        up = self.dense("up", self.config.intermediate_size)(self.norm(x))
        hidden = ACTIVATIONS[self.config.hidden_act](up)
        down = self.dense("down", self.config.hidden_size)(hidden)
        return x + self.adapted(self.dropout(down, key))


class Layer(_modules.Block):
    """Attention block, then feed-forward block."""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        scale: jax.Array,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, Slots]:
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        x, kept = Attention(*parts, name="attention")(
            x, rows, bias, scale, past, attention_key
        )
        return Mlp(*parts, name="mlp")(x, mlp_key), kept


class Norm(_modules.Block):
    """The norm of the last layer's states."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(x)


def _layers(
    config: GPTConfig, dtype: Any, params: Any, view: View, numbers: Sequence[int]
) -> list[tuple[LayerFn, Any]]:
    """Returns layers and their arguments; see `Decoder`."""
    layer, bias = Layer(config.blocks, dtype), _attention.bias_of(view.visible, dtype)

    def run(x: jax.Array, arguments: Any, past: Past | None, key: Any):
        variables, scale = arguments
        variables = {"params": variables}
        return cast(Any, layer.apply(variables, x, view.rows, bias, scale, past, key))

    scales = _scales(config)  # Arguments, so that layers are alike.
    return [(run, (params[layer_name(i)], scales[i])) for i in numbers]


def _embed(
    config: GPTConfig, dtype: Any, params: Any, ids: jax.Array, view: View, key: Any
) -> jax.Array:
    embeddings = Embeddings(config.blocks, dtype, rate=config.embd_pdrop)
    variables = {"params": params["embeddings"]}
    x = embeddings.apply(variables, ids, view.places, view.rows, key)
    return cast(jax.Array, x)


def _logits(config: GPTConfig, dtype: Any, params: Any, x: jax.Array) -> jax.Array:
    norm = Norm(config.blocks, dtype)
    x = cast(jax.Array, norm.apply({"params": {"norm": params["norm"]}}, x))
    return word_logits(params, x, tied=config.tie_word_embeddings, dtype=dtype)


def _scales(config: GPTConfig) -> list[jax.Array]:
    """Returns the scale of the attention scores of each layer."""
    root = math.sqrt(config.n_embd // config.n_head) if config.scale_attn_weights else 1
    by_layer = config.scale_attn_by_inverse_layer_idx
    return [
        jnp.asarray(1 / (root * (1 + i if by_layer else 1)))
        for i in range(config.n_layer)
    ]


def _init(config: GPTConfig, key: chex.PRNGKey) -> dict[str, Any]:
    """Initialises parameters."""
    parts = config.blocks, jnp.float32
    one = jnp.zeros((1, 1), jnp.int32)
    rows = _packing.Rows((1, 1), None, None)
    x, bias = jnp.zeros((1, config.n_embd)), jnp.zeros((1, 1, 1, 1))
    embeddings_key, head_key, layers_key = jax.random.split(key, 3)

    embeddings = Embeddings(*parts).init(embeddings_key, one, one, rows, None)
    drawn = {"embeddings": embeddings["params"]}
    scale = jnp.ones(())
    arguments = x, rows, bias, scale, None, None
    draw = jax.jit(lambda key: Layer(*parts).init(key, *arguments))
    for i in range(config.n_layer):
        drawn[layer_name(i)] = _rescaled(
            config, draw(jax.random.fold_in(layers_key, i))["params"]
        )
    drawn |= Norm(*parts).init(key, x)["params"]
    if not config.tie_word_embeddings:
        shape = config.n_embd, config.vocab_size
        noise = jax.random.normal(head_key, shape)
        drawn["head"] = {"kernel": config.initializer_range * noise}
    return drawn


def _rescaled(config: GPTConfig, layer: Any) -> Any:
    """Scales residual updates so that they do not grow with the number of layers."""
    shrink = (2 * config.n_layer) ** -0.5
    for part, name in (("attention", "output"), ("mlp", "down")):
        arguments = layer[part][name]
        layer[part][name] = {**arguments, "kernel": shrink * arguments["kernel"]}
    return layer
