"""Llamas in GGUF files: llama.cpp's names of fields and tensors."""

from typing import Any

import numpy as np

from metaflax.models.families.llama import _weight_names
from metaflax.models.families.llama._config import LlamaConfig
from metaflax.models.layers._rotary import RotaryConfig
from metaflax.models.pretrained._gguf import (
    GGUF,
    GGUFFormat,
    GGUFTensor,
    interleaved,
)

_FIELDS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_THEIRS = {ours: theirs for theirs, ours in _NAMES.items()}
# Factors of the wavelengths of a Llama 3, which its config gives as a formula.
_FACTORS = "rope_freqs.weight"
_LLAMA3 = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def _config(file: GGUF) -> dict[str, Any]:
    """Returns the content of a `config.json`."""
    if "token_embd.weight" not in file.tensors:
        raise ValueError("it has no tensor token_embd.weight")
    content = {name: file.required(field) for name, field in _FIELDS.items()}
    heads = content["num_attention_heads"]
    content |= {
        "model_type": file.architecture,
        "num_key_value_heads": file.field("attention.head_count_kv", heads),
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "num_local_experts": file.field("expert_count", 0),
        "head_dim": _head_dim(file, content),
    }
    if file.architecture == "llama":
        content["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
        if (window := file.field("attention.sliding_window")) is not None:
            content |= {"model_type": "mistral", "sliding_window": window}
    for name, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token = file.metadata.get(f"tokenizer.ggml.{field}_token_id")
        content[f"{name}_token_id"] = token
    return content | _rotary(file, content)


def _head_dim(file: GGUF, content: dict[str, Any]) -> int:
    """Returns the features of a head, the same of keys, values and rotary positions."""
    width, heads = content["hidden_size"], content["num_attention_heads"]
    if not all(isinstance(n, int) and n > 0 for n in (width, heads)):
        raise ValueError(f"it has heads {heads!r:.40} of {width!r:.40} features")
    rotated = file.field("rope.dimension_count", width // heads)
    head_dim = file.field("attention.key_length", rotated)
    for name in ("attention.value_length", "rope.dimension_count"):
        if file.field(name, head_dim) != head_dim:
            raise ValueError(
                f"the network cannot do {name}={file.field(name)!r:.40} where keys"
                f" have {head_dim!r:.40} features"
            )
    return head_dim


def _rotary(file: GGUF, content: dict[str, Any]) -> dict[str, Any]:
    """Returns fields of rotary positions."""
    base = file.field("rope.freq_base", 10000.0)
    kind = file.field("rope.scaling.type", "none")
    fields: dict[str, Any] = {"rope_theta": base}
    if _FACTORS in file.tensors:
        fields["rope_scaling"] = _llama3(file, base, content["head_dim"])
    elif kind != "none":
        fields["rope_scaling"] = {
            "rope_type": kind,
            "factor": file.field("rope.scaling.factor"),
            "original_max_position_embeddings": file.field(
                "rope.scaling.original_context_length"
            ),
        }
    elif (factor := file.field("rope.scale_linear")) not in (None, 1.0):
        fields["rope_scaling"] = {"rope_type": "linear", "factor": factor}
    return fields


def _llama3(file: GGUF, base: float, head_dim: int) -> dict[str, Any]:
    """Returns the scaling whose factors of wavelengths the file has."""
    factors = file.tensors[_FACTORS].read()
    scaling = {"rope_type": "llama3", "factor": float(factors.max()), **_LLAMA3}
    content = {"rope_theta": base, "rope_scaling": scaling}
    scaled, _ = RotaryConfig.from_dict(content, max_positions=1).frequencies(head_dim)
    plain, _ = RotaryConfig(base).frequencies(head_dim)
    expected = plain / scaled
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-3):
        raise ValueError(
            f"the network has no rotary scaling with the factors of its {_FACTORS}"
        )
    return scaling


def _tensors(file: GGUF, config: LlamaConfig) -> dict[str, GGUFTensor]:
    """Returns where each tensor goes, by llama.cpp's name."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_kv}
    places = {}
    for name, target in _weight_names.targets(config).items():
        module, _, leaf = name.rpartition(".")
        prefix = ""
        if module.startswith("layers."):
            _, number, module = module.split(".", 2)
            prefix = f"blk.{number}."
        theirs = _THEIRS[module]
        place = GGUFTensor(_weight_names.file_name(name), target.shape)
        # llama.cpp reorders features of a Llama alone.
        if file.architecture == "llama" and theirs in heads:
            place = place._replace(convert=interleaved(heads[theirs]))
        places[f"{prefix}{theirs}.{leaf}"] = place
    return places


LLAMA_GGUF = GGUFFormat(
    ("llama", "qwen2", "qwen3"),
    _config,
    _tensors,
    _weight_names.architecture,
    read_by_config=(_FACTORS,),
)
