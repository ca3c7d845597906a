"""Configuration of a ModernBERT encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from metaflax.models.layers._config import (
    EncoderConfig,
    check_activation,
    check_integer,
    check_num_layers,
    check_rate,
)
from metaflax.models.layers._layer_types import (
    FULL,
    SLIDING,
    LayerType,
    check_layer_types,
    parse_layer_types,
)
from metaflax.models.layers._rotary import RotaryConfig

_GLOBAL, _LOCAL = (RotaryConfig(rope_theta=base) for base in (160000.0, 10000.0))


@dataclasses.dataclass(frozen=True)
class ModernBertConfig(EncoderConfig):
    """Sizes and rates of a ModernBERT encoder; defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block; `hidden_activation` in files.
      hidden_dropout_prob: dropout rate of that block; `mlp_dropout` in files.
      attention_probs_dropout_prob: dropout rate of attention; `attention_dropout`.
      max_position_embeddings: longest text in tokens.
      type_vocab_size: not used: there are no segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances; `norm_eps` in files.
      pad_token_id: id of padding.
      embedding_dropout: dropout rate of embeddings.
      norm_bias: whether norms have biases.
      attention_bias: whether the dense modules of attention have biases.
      mlp_bias: whether those of the feed-forward block have.
      layer_types: "full_attention" or "sliding_attention" for each layer; None for
        every third, from the first on, to attend to all tokens.
      local_attention: width of the window of "sliding_attention".
      global_positions: rotary positions of "full_attention".
      local_positions: rotary positions of "sliding_attention".
      classifier_pooling: what a classifier pools, "cls" or "mean".
      classifier_bias: whether a classifier's first dense layer has a bias.
      classifier_activation: activation behind it.
    """

    model_type: ClassVar[str] = "modernbert"
    renamed: ClassVar[Mapping[str, str | None]] = {
        "hidden_act": "hidden_activation",
        "hidden_dropout_prob": "mlp_dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "layer_norm_eps": "norm_eps",
        "type_vocab_size": None,
        "global_positions": None,
        "local_positions": None,
    }

    vocab_size: int = 50368
    num_hidden_layers: int = 22
    intermediate_size: int = 1152
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 8192
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 50283
    embedding_dropout: float = 0.0
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    layer_types: tuple[LayerType, ...] | None = None
    local_attention: int = 128
    global_positions: RotaryConfig = _GLOBAL
    local_positions: RotaryConfig = _LOCAL
    classifier_pooling: Literal["cls", "mean"] = "cls"
    classifier_bias: bool = False
    classifier_activation: str = "gelu"

    def __post_init__(self):
        super().__post_init__()
        if self.layer_types is None:
            types = _alternating(self.num_hidden_layers, 3)
            object.__setattr__(self, "layer_types", types)
        check_layer_types(self.layer_types or (), self.num_hidden_layers)
        check_integer("local_attention", self.local_attention)
        check_rate("embedding_dropout", self.embedding_dropout)
        if self.classifier_pooling not in ("cls", "mean"):
            raise ValueError(
                "the network cannot do"
                f" classifier_pooling={self.classifier_pooling!r}; it supports cls and"
                " mean"
            )
        check_activation("classifier_activation", self.classifier_activation)
        if self.hidden_size // self.num_attention_heads % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} gives each of"
                f" num_attention_heads={self.num_attention_heads} an odd number of"
                " features, which rotary positions cannot pair"
            )

    @property
    def window(self) -> int:
        """Longest distance that "sliding_attention" sees."""
        return self.local_attention // 2

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "ModernBertConfig":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults.

        Returns:
          The `ModernBertConfig`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> fields = {"model_type": "modernbert", "num_hidden_layers": 4,
          ...           "global_attn_every_n_layers": 2, "local_rope_theta": 500.0}
          >>> config = ModernBertConfig.from_dict(fields)
          >>> config.layer_types[1], config.local_positions.rope_theta
          ('sliding_attention', 500.0)
        """
        num_layers = config.get("num_hidden_layers", cls.num_hidden_layers)
        types = config.get("layer_types")
        if types is None:
            every = config.get("global_attn_every_n_layers", 3)
            check_integer("global_attn_every_n_layers", every)
            check_num_layers("num_hidden_layers", num_layers)
            types = _alternating(num_layers, every)
        parsed = super().from_dict({**config, "layer_types": parse_layer_types(types)})
        positions = {
            field: _rotary(config, kind, theta)
            for field, kind, theta in (
                ("global_positions", FULL, "global_rope_theta"),
                ("local_positions", SLIDING, "local_rope_theta"),
            )
        }
        return dataclasses.replace(parsed, **positions)

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        parameters = {}
        for kind, positions in (
            (FULL, self.global_positions),
            (SLIDING, self.local_positions),
        ):
            fields = positions.to_dict()
            scaling = fields["rope_scaling"] or {"rope_type": "default"}
            parameters[kind] = {**scaling, "rope_theta": fields["rope_theta"]}
        return super().to_dict() | {
            "layer_types": list(self.layer_types or ()),
            "rope_parameters": parameters,
        }


def _alternating(num_layers: int, every: int) -> tuple[LayerType, ...]:
    """Returns layer types of which one in `every`, from the first on, is full."""
    return tuple(SLIDING if i % every else FULL for i in range(num_layers))


def _rotary(config: Mapping[str, Any], kind: str, theta: str) -> RotaryConfig:
    """Parses the rotary positions of layers of a type."""
    name = "global_positions" if kind == FULL else "local_positions"
    usual: RotaryConfig = getattr(ModernBertConfig, name)
    parameters = config.get("rope_parameters") or {}
    if not isinstance(parameters, Mapping):
        raise ValueError(f"rope_parameters must be an object, got {parameters!r:.40}")
    fields: dict[str, Any] = {"rope_parameters": parameters.get(kind)}
    if config.get("rope_scaling") is not None:
        fields["rope_scaling"] = config["rope_scaling"]
    base = config.get(theta)
    return RotaryConfig.from_dict(
        fields,
        max_positions=config.get("max_position_embeddings", 8192),
        theta=usual.rope_theta if base is None else base,
    )
