"""Llama as Flax Linen modules that are efficient to differentiate twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, H heads, d features of a head, V words.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/attention/norm/scale`, `layer_0/mlp/gate/kernel`, `norm/scale`, `head/kernel`;
a kernel is `[in, out]`. Norms come before blocks. Leaves that `with_lora`,
`with_adapters`, `with_prefix` and `with_context` add are applied wherever they occur.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.llama._config import LlamaConfig
from metaflax.models.generation._decoder import decoder_only
from metaflax.models.generation._decoder_parts import (
    Decoder,
    LayerFn,
    View,
    layer_name,
    word_logits,
)
from metaflax.models.generation._language_model import LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _rotary, _stack
from metaflax.models.layers._attention import KeyValues, Past, Slots
from metaflax.models.layers._rotary import Angles


def llama(
    config: LlamaConfig,
    *,
    dtype: Any = jnp.float32,
    layer_loop: _stack.LayerLoop = "auto",
    remat: _stack.Remat = "none",
) -> LanguageModel:
    """Builds a Llama, Mistral, Qwen2 or Qwen3.

    Its inputs, for training and as prompts, are `Tokens`. Texts may be padded on the
    right or the left, and positions count real tokens, so that padding changes nothing.

    Args:
      config: the network.
      dtype: dtype of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms, angles and logits are at least float32.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the embeddings, each layer, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than the model's positions.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.models import LlamaConfig, llama
      >>> from metaflax.models import Tokens
      >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=12,
      ...                      num_hidden_layers=1, num_attention_heads=2,
      ...                      num_key_value_heads=1, max_position_embeddings=6)
      >>> model = llama(config)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> model.apply(params, Tokens(ids, None, ids > 0), None).shape
      (2, 3, 9)

    References:
      Touvron et al., `LLaMA: Open and Efficient Foundation Language Models
      <https://arxiv.org/abs/2302.13971>`_, 2023; Jiang et al., `Mistral 7B
      <https://arxiv.org/abs/2310.06825>`_, 2023; Yang et al., `Qwen3 Technical Report
      <https://arxiv.org/abs/2505.09388>`_, 2025.
    """
    decoder = Decoder(
        init=functools.partial(_init, config),
        embed=functools.partial(_embed, config, dtype),
        layers=functools.partial(_layers, config, dtype),
        logits=functools.partial(_logits, config, dtype),
        num_layers=config.num_hidden_layers,
        max_positions=config.max_position_embeddings,
        limit="max_position_embeddings",
        output=("norm", "embeddings/word" if config.tie_word_embeddings else "head"),
        vocab_size=config.vocab_size,
    )
    return decoder_only(decoder, layer_loop=layer_loop, remat=remat)


class Embeddings(_modules.Embedding):
    """Word embeddings; positions are those of attention."""

    @nn.compact
    def __call__(self, ids: jax.Array, rows: _packing.Rows) -> jax.Array:
        word = self.table("word", self.config.vocab_size)
        return self.with_context(word[rows.pack(ids)]).astype(self.dtype)


class Attention(_attention.Attention):
    """Causal self-attention with rotary positions; norm before, and residual."""

    sizes: LlamaConfig

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        angles: Angles,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, Slots]:
        sizes = self.sizes
        H, G, d = sizes.num_attention_heads, sizes.num_kv, sizes.head_size
        normed = self.rms_norm(x)

        def project(name: str, num_heads: int) -> jax.Array:
            dense = self.dense(name, num_heads * d, use_bias=sizes.attention_bias)
            return _attention.split_heads(rows.unpack(dense(normed)), num_heads)

        query, key_states = project("query", H), project("key", G)
        kept = KeyValues(key_states, project("value", G))
        if sizes.normed_queries:
            query = self.rms_norm(query, "query_norm")
            kept = kept._replace(keys=self.rms_norm(kept.keys, "key_norm"))
        query = _rotary.rotate(query, angles) * jnp.asarray(d**-0.5, self.dtype)
        kept = kept._replace(keys=_rotary.rotate(kept.keys, angles))
        slots = kept if past is None else past.kept.updated(kept, past.slot)
        use_bias = sizes.has_output_bias
        mixed = self.mixed(query, slots, bias, rows, key, use_bias=use_bias)
        return x + mixed, slots


class Layer(_modules.Block):
    """Attention block, then feed-forward block."""

    sizes: LlamaConfig

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        rows: _packing.Rows,
        bias: jax.Array,
        angles: Angles,
        past: Past | None,
        key: chex.PRNGKey | None,
    ) -> tuple[jax.Array, Slots]:
        parts = self.config, self.dtype
        attention_key, mlp_key = base.split_key(key)
        attention = Attention(*parts, self.sizes, name="attention")
        x, kept = attention(x, rows, bias, angles, past, attention_key)
        mlp = _modules.GatedMlp(*parts, self.sizes.mlp_bias, name="mlp")
        return mlp(x, mlp_key), kept


class Norm(_modules.Block):
    """The norm of the last layer's states."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.rms_norm(x)


def _layers(
    config: LlamaConfig, dtype: Any, params: Any, view: View, numbers: Sequence[int]
) -> list[tuple[LayerFn, Any]]:
    """Returns layers and their arguments; see `Decoder`."""
    layer = Layer(config.blocks, dtype, config)
    angles = config.rotary.angles(view.places, config.head_size, dtype)

    @functools.cache
    def within(window: int | None) -> LayerFn:
        """Returns a layer, the same function for the same window."""
        visible = view.visible if window is None else view.within(window)
        bias = _attention.bias_of(visible, dtype)

        def run(x: jax.Array, variables: Any, past: Past | None, key: Any):
            variables = {"params": variables}
            return cast(
                Any, layer.apply(variables, x, view.rows, bias, angles, past, key)
            )

        return run

    return [(within(config.window(i)), params[layer_name(i)]) for i in numbers]


def _embed(
    config: LlamaConfig, dtype: Any, params: Any, ids: jax.Array, view: View, key: Any
) -> jax.Array:
    del key
    embeddings = Embeddings(config.blocks, dtype)
    x = embeddings.apply({"params": params["embeddings"]}, ids, view.rows)
    return cast(jax.Array, x)


def _logits(config: LlamaConfig, dtype: Any, params: Any, x: jax.Array) -> jax.Array:
    norm = Norm(config.blocks, dtype)
    x = cast(jax.Array, norm.apply({"params": {"norm": params["norm"]}}, x))
    return word_logits(params, x, tied=config.tie_word_embeddings, dtype=dtype)


def _init(config: LlamaConfig, key: chex.PRNGKey) -> dict[str, Any]:
    """Initialises parameters."""
    parts = config.blocks, jnp.float32
    one = jnp.zeros((1, 1), jnp.int32)
    rows = _packing.Rows((1, 1), None, None)
    x, bias = jnp.zeros((1, config.hidden_size)), jnp.zeros((1, 1, 1, 1))
    angles = config.rotary.angles(one, config.head_size, jnp.float32)
    embeddings_key, head_key, layers_key = jax.random.split(key, 3)

    embeddings = Embeddings(*parts).init(embeddings_key, one, rows)
    drawn = {"embeddings": embeddings["params"]}
    arguments = x, rows, bias, angles, None, None
    draw = jax.jit(lambda key: Layer(*parts, config).init(key, *arguments))
    for i in range(config.num_hidden_layers):
        drawn[layer_name(i)] = draw(jax.random.fold_in(layers_key, i))["params"]
    drawn |= Norm(*parts).init(key, x)["params"]
    if not config.tie_word_embeddings:
        shape = config.hidden_size, config.vocab_size
        noise = jax.random.normal(head_key, shape)
        drawn["head"] = {"kernel": config.initializer_range * noise}
    return drawn
