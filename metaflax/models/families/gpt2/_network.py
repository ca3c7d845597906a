"""GPT-2 as Flax Linen modules that are efficient to differentiate twice.

Letters of shapes: B texts, L tokens of a text, R rows (tokens of the batch that are
worked on), D features, V words, K beams.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `norm/scale`, as that of a BERT does; a kernel is `[in, out]`.
Norms come before blocks. Leaves that `with_lora` and `with_adapters` add are applied
wherever they occur.
"""

import functools
import math
from typing import Any, NamedTuple, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.generation import _language_model
from metaflax.models.generation._language_model import Cache, LanguageModel
from metaflax.models.layers import _attention, _modules, _packing, _stack
from metaflax.models.layers._attention import KeyValues, Past, Source
from metaflax.models.layers._config import ACTIVATIONS
from metaflax.models.layers._tokens import Tokens


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
      dtype: of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and logits are at least float32.
      layer_loop: whether layers are unrolled or scanned in `apply`, see `encoder`.
      remat: which activations are kept for the backward pass, see `encoder`.

    Returns:
      A `LanguageModel`, whose stages are the embeddings, each layer, and the logits.

    Raises:
      ValueError: if `layer_loop` or `remat` is unknown, and when called if texts are
        longer than the model's positions.

    Examples:
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
    _language_model.check_layers(layer_loop, remat)
    run = functools.partial(
        _run_stages, config, dtype=dtype, layer_loop=layer_loop, remat=remat
    )
    return LanguageModel(
        init=functools.partial(_init, config),
        apply=base.StagedApply(_stages(config), run, examples_independent=True),
        begin=functools.partial(_begin, config, dtype),
        extend=functools.partial(_extend, config, dtype),
        prompt_tokens=lambda prompts: (
            jnp.asarray(prompts.ids),
            jnp.asarray(prompts.mask),
        ),
        vocab_size=config.vocab_size,
    )


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
        x = self.words_at(ids, positions, rows).astype(self.dtype)
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
    ) -> tuple[jax.Array, KeyValues]:
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
    ) -> tuple[jax.Array, KeyValues]:
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


class _LayerArguments(NamedTuple):
    """Arguments that differ between layers."""

    params: Any
    scale: jax.Array  # Of its scores; no constant, so that layers are alike.
    key: chex.PRNGKey | None


def _stages(config: GPTConfig) -> tuple[Any, ...]:
    """Returns the parameters of each stage: embeddings, layers, logits."""
    layers = map(_layer_name, range(config.n_layer))
    head = "embeddings/word" if config.tie_word_embeddings else "head"
    return "embeddings", *layers, ("norm", head)


def _run_stages(
    config: GPTConfig,
    params: Any,
    tokens: Tokens,
    states: jax.Array | None,
    key: chex.PRNGKey | None,
    first: int,
    last: int,
    *,
    dtype: Any,
    layer_loop: _stack.LayerLoop,
    remat: _stack.Remat,
) -> jax.Array:
    """Runs some of the stages, at least one, on whole texts; see `base.StagedApply`."""
    _language_model.check_room(
        jnp.shape(tokens.ids)[1], 0, config.n_positions, "n_positions"
    )
    rows, mask = _packing.rows_of(tokens), jnp.asarray(tokens.mask)
    first_key, *keys = base.split_key(key, 1 + config.n_layer)
    if first == 0:
        ids, places = jnp.asarray(tokens.ids), _attention.positions(mask)
        x = _embed(config, dtype, params, ids, places, rows, first_key)
    else:
        x = rows.pack(cast(jax.Array, states))

    bias = _attention.bias_of(_attention.causal(mask), dtype)
    layer = functools.partial(_run_layer, Layer(config.blocks, dtype), rows, bias)
    scales = _scales(config)
    numbers = range(max(first - 1, 0), min(last - 1, config.n_layer))
    all_arguments = [
        _LayerArguments(params[_layer_name(i)], scales[i], keys[i]) for i in numbers
    ]
    layers = [(layer, arguments) for arguments in all_arguments]
    x = rows.unpack(_stack.run_layers(x, layers, layer_loop=layer_loop, remat=remat))
    return _logits(config, dtype, params, x) if last > 1 + config.n_layer else x


def _begin(
    config: GPTConfig,
    dtype: Any,
    params: Any,
    prompts: Tokens,
    num_new: int,
    num_beams: int = 1,
) -> tuple[jax.Array, Cache]:
    """Encodes prompts; see `LanguageModel`."""
    ids, mask = jnp.asarray(prompts.ids), jnp.asarray(prompts.mask)
    B, P = ids.shape
    _language_model.check_room(P, num_new, config.n_positions, "n_positions")
    rows, places = _packing.Rows((B, P), None, None), _attention.positions(mask)
    x = _embed(config, dtype, params, ids, places, rows, None)
    bias = _attention.bias_of(_attention.causal(mask), dtype)
    pasts = [None] * config.n_layer
    x, kept = _run_cached(config, dtype, params, x, rows, bias, pasts)

    # The last real token, wherever the padding lies.
    last = jnp.max(jnp.where(mask.astype(bool), jnp.arange(P)[None], 0), axis=1)
    x = jnp.take_along_axis(rows.unpack(x), last[:, None, None], axis=1)  # [B, 1, D]
    cache = Cache(tuple(k.padded(num_new * num_beams) for k in kept), mask)
    return _logits(config, dtype, params, x)[:, 0], cache


def _extend(
    config: GPTConfig,
    dtype: Any,
    params: Any,
    cache: Cache,
    ids: jax.Array,
    visible: jax.Array,
    step: chex.Numeric,
) -> tuple[jax.Array, Cache]:
    """Appends a token to each beam; see `LanguageModel`."""
    B, K = ids.shape
    rows = _packing.Rows((B, K), None, None)
    length = jnp.sum(cache.mask.astype(jnp.int32), axis=1, keepdims=True)  # [B, 1]
    places = jnp.broadcast_to(length + step, (B, K))
    x = _embed(config, dtype, params, ids, places, rows, None)
    bias = _attention.bias_of(cache.visible(visible), dtype)
    slot = cache.mask.shape[1] + step * K
    pasts = [Past(kept, slot) for kept in cache.kept]
    x, kept = _run_cached(config, dtype, params, x, rows, bias, pasts)
    logits = _logits(config, dtype, params, rows.unpack(x))
    return logits, cache._replace(kept=kept)


def _run_cached(config, dtype, params, x, rows, bias, pasts):
    """Runs every layer, and returns its keys and values."""
    layer, kept = Layer(config.blocks, dtype), []
    for i, (scale, past) in enumerate(zip(_scales(config), pasts, strict=True)):
        arguments = {"params": params[_layer_name(i)]}
        x, here = cast(Any, layer.apply(arguments, x, rows, bias, scale, past, None))
        kept.append(here)
    return x, tuple(kept)


def _run_layer(
    layer: Layer,
    rows: _packing.Rows,
    bias: jax.Array,
    x: jax.Array,
    arguments: _LayerArguments,
) -> jax.Array:
    """Runs a layer as `_stack.run_layers` calls it, without a cache."""
    params = {"params": arguments.params}
    x, _ = cast(
        Any, layer.apply(params, x, rows, bias, arguments.scale, None, arguments.key)
    )
    return x


def _embed(config, dtype, params, ids, places, rows, key) -> jax.Array:
    embeddings = Embeddings(config.blocks, dtype, config.embd_pdrop)
    arguments = {"params": params["embeddings"]}
    return cast(jax.Array, embeddings.apply(arguments, ids, places, rows, key))


def _logits(config: GPTConfig, dtype: Any, params: Any, x: jax.Array) -> jax.Array:
    """Computes logits `[B, L, V]` of states `[B, L, D]`."""
    rows = x.reshape(-1, x.shape[-1])
    norm = Norm(config.blocks, dtype)
    rows = cast(jax.Array, norm.apply({"params": {"norm": params["norm"]}}, rows))
    if config.tie_word_embeddings:
        kernel = jnp.asarray(params["embeddings"]["word"], dtype).T
    else:
        kernel = jnp.asarray(params["head"]["kernel"], dtype)
    logits = _modules.widened(jnp.matmul(rows, kernel))
    return logits.reshape(*x.shape[:-1], -1)


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
        drawn[_layer_name(i)] = _rescaled(
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


def _layer_name(number: int) -> str:
    return f"layer_{number}"
