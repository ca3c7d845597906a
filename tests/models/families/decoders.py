"""Tiny decoders of every family and setting, shared by the tests of families."""

import dataclasses

from metaflax import models
from metaflax.models.layers._rotary import RotaryConfig
from tests.models.speakers import GPT

LLAMA = models.LlamaConfig(
    vocab_size=23,
    hidden_size=12,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=3,
    num_key_value_heads=1,
    max_position_embeddings=20,
    bos_token_id=None,
    eos_token_id=2,
)
BIASED = {"attention_bias": True, "output_bias": False}
LONG = {"factor": 4.0, "original_max_position_embeddings": 5}
CHANGES = {
    "llama": {},
    "tied llama with biases": {
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "llama without shared keys": {
        "num_key_value_heads": None,
        "hidden_act": "gelu",
        "rms_norm_eps": 1e-3,
        "rotary": RotaryConfig(500.0, "linear", 2.0),
    },
    "long llama": {
        "head_dim": 8,
        "rotary": RotaryConfig(
            500.0, "llama3", low_freq_factor=1.0, high_freq_factor=4.0, **LONG
        ),
    },
    "yarn llama": {"head_dim": 6, "rotary": RotaryConfig(500.0, "yarn", **LONG)},
    "mistral": {"model_type": "mistral", "sliding_window": 3},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 3, **BIASED},
    "qwen2 with windows": {
        "model_type": "qwen2",
        "sliding_window": 3,
        "layer_types": ("full_attention", "sliding_attention"),
        "tie_word_embeddings": True,
        **BIASED,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 6, "tie_word_embeddings": True},
    "qwen3 with biases": {
        "model_type": "qwen3",
        "attention_bias": True,
        "sliding_window": 4,
        "head_dim": 4,
    },
}
LLAMAS = {
    name: dataclasses.replace(LLAMA, **changes) for name, changes in CHANGES.items()
}
# One of each kind of network, for tests of behaviour that decoders share.
DECODERS = {"gpt2": (models.gpt, GPT)} | {
    name: (models.llama, LLAMAS[name])
    for name in ("llama", "mistral", "qwen2", "qwen3")
}
