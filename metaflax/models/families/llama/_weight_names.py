"""Names of Llama's tensors: Hugging Face's and ours."""

import re

from metaflax.models.families.llama._config import LlamaConfig
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Target

HEAD = "lm_head.weight"
_LAYER_NORMS = {
    "input_layernorm": "attention/norm",
    "post_attention_layernorm": "mlp/norm",
}
_HEAD_NORMS = {
    "self_attn.q_norm": "attention/query_norm",
    "self_attn.k_norm": "attention/key_norm",
}
# Tensors of a checkpoint that are ignored: buffers, and heads of other tasks.
_IGNORED = re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq|score\.weight")


def architecture(config: LlamaConfig) -> str:
    """Returns Hugging Face's name of the class.

    Examples:
      >>> architecture(LlamaConfig(model_type="qwen2"))
      'Qwen2ForCausalLM'
    """
    return f"{config.model_type.capitalize()}ForCausalLM"


def rename(config: LlamaConfig, name: str) -> str | None:
    """Returns the name of a tensor without prefix; None for one that is left out."""
    name = name.removeprefix("model.")
    tied = config.tie_word_embeddings and name == HEAD
    return None if tied or _IGNORED.fullmatch(name) else name


def file_name(name: str) -> str:
    """Returns the name in a file, from that without prefix."""
    return name if name == HEAD else f"model.{name}"


def targets(config: LlamaConfig) -> dict[str, Target]:
    """Returns where every tensor of a network of this size goes, by name."""
    words = config.vocab_size, config.hidden_size
    places: dict[str, Target] = {
        "embed_tokens.weight": Place("embeddings/word", words),
        "norm.weight": Place("norm/scale", (config.hidden_size,)),
    }
    if not config.tie_word_embeddings:
        places[HEAD] = Place("head/kernel", words, transposed=True)
    for i in range(config.num_hidden_layers):
        places |= _of_layer(config, f"layers.{i}", f"layer_{i}")
    return places


def _of_layer(config: LlamaConfig, theirs: str, ours: str) -> dict[str, Target]:
    D, wide, d = config.hidden_size, config.intermediate_size, config.head_size
    queries, shared = config.num_attention_heads * d, config.num_kv * d
    qkv, out, mlp = config.attention_bias, config.has_output_bias, config.mlp_bias
    dense = {
        "self_attn.q_proj": ("attention/query", (queries, D), qkv),
        "self_attn.k_proj": ("attention/key", (shared, D), qkv),
        "self_attn.v_proj": ("attention/value", (shared, D), qkv),
        "self_attn.o_proj": ("attention/output", (D, queries), out),
        "mlp.gate_proj": ("mlp/gate", (wide, D), mlp),
        "mlp.up_proj": ("mlp/up", (wide, D), mlp),
        "mlp.down_proj": ("mlp/down", (D, wide), mlp),
    }
    places: dict[str, Target] = {}
    for name, (path, shape, has_bias) in dense.items():
        kernel = Place(f"{ours}/{path}/kernel", shape, transposed=True)
        places[f"{theirs}.{name}.weight"] = kernel
        if has_bias:
            bias = Place(f"{ours}/{path}/bias", shape[:1])
            places[f"{theirs}.{name}.bias"] = bias
    norms = {name: (path, D) for name, path in _LAYER_NORMS.items()}
    if config.normed_queries:
        norms |= {name: (path, d) for name, path in _HEAD_NORMS.items()}
    for name, (path, size) in norms.items():
        places[f"{theirs}.{name}.weight"] = Place(f"{ours}/{path}/scale", (size,))
    return places
