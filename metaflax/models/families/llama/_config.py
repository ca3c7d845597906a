"""Configuration of a Llama, Mistral, Qwen2 or Qwen3, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from metaflax.models.layers._config import (
    TransformerConfig,
    check_heads,
    check_integer,
    check_not_negative,
    check_num_layers,
    check_rate,
    check_supported,
    check_token_id,
)
from metaflax.models.layers._layer_types import (
    FULL,
    SLIDING,
    check_layer_types,
    parse_layer_types,
)
from metaflax.models.layers._rotary import RotaryConfig

# Defaults of Hugging Face's configurations that differ from those of a Llama.
_QWEN = {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "bos_token_id": None,
    "eos_token_id": None,
    "sliding_window": 4096,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "qwen2": {**_QWEN, "attention_bias": True, "output_bias": False},
    "qwen3": {**_QWEN, "head_dim": 128},
}
MODEL_TYPES = tuple(_DEFAULTS)
"""Hugging Face's `model_type` of the networks that the family covers."""

# Fields that a kind of network lacks: what its class does is fixed.
_FIXED = {
    "llama": ("sliding_window",),
    "mistral": ("attention_bias", "mlp_bias"),
    "qwen2": ("attention_bias", "mlp_bias"),
    "qwen3": ("mlp_bias",),
}
# Fields that change the network, and the values that ours can serve.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": MODEL_TYPES,
    "num_local_experts": (None, 0, 1),
    "num_experts": (None, 0, 1),
    "quantization_config": (None,),
    "add_cross_attention": (False, None),
}
# Fields that Hugging Face's configuration has under these names, whatever the kind.
_SAME_NAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "attention_dropout",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """Sizes and rates of a Llama or a near relative; names as Hugging Face.

    Attributes:
      model_type: kind of network, one of `MODEL_TYPES`.
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      intermediate_size: width of the feed-forward block.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads H of a layer; they divide `hidden_size`.
      num_key_value_heads: heads of keys and values; they divide H. None for H.
      head_dim: features d of a head, an even number; None for D / H.
      hidden_act: activation of the gate of the feed-forward block.
      max_position_embeddings: longest text in tokens.
      initializer_range: standard deviation of fresh weights.
      rms_norm_eps: added to mean squares.
      attention_dropout: dropout rate of attention probabilities.
      tie_word_embeddings: whether the output layer is tied to the word embedding.
      rotary: frequencies of positions.
      attention_bias: whether queries, keys and values have biases.
      output_bias: whether the output of attention has one; None for `attention_bias`.
      mlp_bias: whether the feed-forward block has biases.
      sliding_window: tokens that those of a sliding layer attend to, themselves among
        them; None for all.
      layer_types: type of each layer, "full_attention" or "sliding_attention"; None for
        sliding layers throughout where there is a window.
      bos_token_id: id of the first token of a text, None for none.
      eos_token_id: id of its last token; of several, any ends a generated text and the
        first ends targets. None for none.
      pad_token_id: id of padding, None for none.

    Examples:
      >>> import jax
      >>> from metaflax import models
      >>> config = models.LlamaConfig(
      ...     vocab_size=50,
      ...     hidden_size=8,
      ...     intermediate_size=16,
      ...     num_hidden_layers=1,
      ...     num_attention_heads=2,
      ...     num_key_value_heads=1,
      ... )
      >>> params = jax.eval_shape(models.llama(config).init, jax.random.key(0))
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      1400
    """

    model_type: str = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    tie_word_embeddings: bool = False
    rotary: RotaryConfig = dataclasses.field(default_factory=RotaryConfig)
    attention_bias: bool = False
    output_bias: bool | None = None
    mlp_bias: bool = False
    sliding_window: int | None = None
    layer_types: tuple[str, ...] | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    pad_token_id: int | None = None

    def __post_init__(self):
        if self.model_type not in _DEFAULTS:
            raise ValueError(
                f"unknown model_type={self.model_type!r}; there is"
                f" {', '.join(MODEL_TYPES)}"
            )
        check_rate("attention_dropout", self.attention_dropout)
        check_not_negative("rms_norm_eps", self.rms_norm_eps)
        _ = self.blocks  # Checks the remaining fields.
        check_heads(self.hidden_size, self.num_attention_heads)
        for name in ("num_key_value_heads", "head_dim", "sliding_window"):
            value = getattr(self, name)
            if value is not None:
                check_integer(name, value)
        if self.num_attention_heads % self.num_kv:
            raise ValueError(
                f"num_key_value_heads={self.num_kv} does not divide"
                f" num_attention_heads={self.num_attention_heads}"
            )
        if self.head_size % 2:
            raise ValueError(
                f"head_dim must be even, since rotary positions pair features, got"
                f" {self.head_size}"
            )
        if self.layer_types is not None:
            check_layer_types(self.layer_types, self.num_hidden_layers)
        for name in ("bos_token_id", "pad_token_id"):
            check_token_id(name, getattr(self, name), self.vocab_size)
        ends = self.eos_token_id if isinstance(self.eos_token_id, tuple) else ()
        for end in ends or (self.end,):
            check_token_id("eos_token_id", end, self.vocab_size)

    @property
    def num_kv(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        """Features d of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def has_output_bias(self) -> bool:
        """Whether the output of attention has a bias."""
        return self.attention_bias if self.output_bias is None else self.output_bias

    @property
    def normed_queries(self) -> bool:
        """Whether queries and keys are normalised, as in Qwen3."""
        return self.model_type == "qwen3"

    @property
    def end(self) -> int | None:
        """Id of the last token of a text, the first of several; None for none."""
        ends = self.eos_token_id
        return ends[0] if isinstance(ends, tuple) else ends

    @property
    def further_ends(self) -> tuple[int, ...]:
        """Ids beside `end` at which generation stops."""
        ends = self.eos_token_id
        return ends[1:] if isinstance(ends, tuple) else ()

    def window(self, layer: int) -> int | None:
        """Returns the tokens that those of a layer attend to; None for all."""
        full = self.layer_types is not None and self.layer_types[layer] == FULL
        return None if full else self.sliding_window

    @property
    def blocks(self) -> TransformerConfig:
        """The same sizes and rates by the names that the blocks of a network take."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=self.intermediate_size,
            hidden_act=self.hidden_act,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=self.attention_dropout,
            max_position_embeddings=self.max_position_embeddings,
            initializer_range=self.initializer_range,
            layer_norm_eps=self.rms_norm_eps,
        )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "LlamaConfig":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults.

        Returns:
          The `LlamaConfig`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> config = LlamaConfig.from_dict({"model_type": "qwen2",
          ...                                 "num_key_value_heads": 4})
          >>> config.attention_bias, config.num_kv, config.window(0)
          (True, 4, None)
        """
        check_supported(config, _SUPPORTED)
        kind = config.get("model_type", "llama")
        known = {"model_type": kind, **_DEFAULTS[kind]}
        fields = {*_SAME_NAME, "attention_bias", "mlp_bias", "sliding_window"}
        names = fields - set(_FIXED[kind])
        known |= {name: config[name] for name in names if name in config}
        if isinstance(known.get("eos_token_id"), list):
            known["eos_token_id"] = tuple(known["eos_token_id"]) or None
        size = known.get("vocab_size", cls.vocab_size)
        check_integer("vocab_size", size)
        for name in ("bos_token_id", "eos_token_id"):
            # The usual ids in a small vocabulary, which lacks them: there are none.
            token = known.get(name, getattr(cls, name))
            if name not in config and isinstance(token, int) and token >= size:
                known[name] = None
        if kind.startswith("qwen"):
            known |= _qwen_windows(config, known)
        elif config.get("layer_types") is not None:
            raise ValueError(
                f"the network cannot do layer_types={config['layer_types']!r:.60} in a"
                f" {kind}"
            )
        positions = known.get("max_position_embeddings", cls.max_position_embeddings)
        rotary = RotaryConfig.from_dict(config, max_positions=positions)
        return cls(**known, rotary=rotary)

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        fields = {name: getattr(self, name) for name in _SAME_NAME}
        fields |= {"num_key_value_heads": self.num_kv, "head_dim": self.head_size}
        for name in ("attention_bias", "mlp_bias", "sliding_window"):
            if name not in _FIXED[self.model_type]:
                fields[name] = getattr(self, name)
        if isinstance(self.eos_token_id, tuple):
            fields["eos_token_id"] = list(self.eos_token_id)
        if self.model_type.startswith("qwen"):
            types = [SLIDING if self.window(i) else FULL for i in self._numbers]
            fields["layer_types"] = types
            fields["use_sliding_window"] = self.sliding_window is not None
        return {"model_type": self.model_type, **fields, **self.rotary.to_dict()}

    @property
    def _numbers(self) -> range:
        return range(self.num_hidden_layers)


def _qwen_windows(
    config: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the sliding window and layer types of a Qwen, if it uses them."""
    if not config.get("use_sliding_window", False):
        return {"sliding_window": None, "layer_types": None}
    types = config.get("layer_types")
    if types is None:
        num = known.get("num_hidden_layers", LlamaConfig.num_hidden_layers)
        first = config.get("max_window_layers", 28)
        check_num_layers("num_hidden_layers", num)
        check_integer("max_window_layers", first, at_least=0)
        types = [SLIDING if i >= first else FULL for i in range(num)]
    return {"layer_types": parse_layer_types(types)}
