"""Configuration of a T5, in Hugging Face's terms."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from metaflax.models.layers._config import (
    TransformerConfig,
    check_activation,
    check_integer,
    check_not_negative,
    check_num_layers,
    check_rate,
    check_supported,
    check_token_id,
)

# Fields that change the network, and the values that ours can serve.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("t5",),
    "is_encoder_decoder": (True,),
    "is_decoder": (False,),
    "quantization_config": (None,),
    "tie_word_embeddings": (True, False),
    "scale_decoder_outputs": (None, True, False),
}
_SIZES = (
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
)


@dataclasses.dataclass(frozen=True)
class T5Config:
    """Sizes and rates of a T5; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      d_model: features D of a token.
      d_kv: features d of a head.
      d_ff: width of the feed-forward block.
      num_layers: number of layers of the encoder.
      num_decoder_layers: number of layers of the decoder; None for `num_layers`.
      num_heads: attention heads H of a layer; H d may be another number than D.
      relative_attention_num_buckets: buckets of the distances between tokens.
      relative_attention_max_distance: from here on all distances are in one bucket.
      feed_forward_proj: activation of the feed-forward block, such as `relu`, or with
        the prefix `gated-` that of its gate.
      dropout_rate: rate of all dropout.
      layer_norm_epsilon: added to mean squares.
      initializer_factor: multiplies the standard deviations of fresh weights.
      tie_word_embeddings: whether the output layer is tied to the word embedding.
      scale_decoder_outputs: whether the states of the output layer are divided by the
        root of D; None where it is tied.
      decoder_start_token_id: id of the first token of a target.
      eos_token_id: id of its last token, None for none.
      pad_token_id: id of padding, None for none.
    """

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    feed_forward_proj: str = "relu"
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool | None = None
    decoder_start_token_id: int = 0
    eos_token_id: int | None = 1
    pad_token_id: int | None = 0

    def __post_init__(self):
        for name in _SIZES:
            check_integer(name, getattr(self, name))
        check_num_layers("num_layers", self.num_layers)
        check_num_layers("num_decoder_layers", self.num_decoder)
        check_rate("dropout_rate", self.dropout_rate)
        for name in ("layer_norm_epsilon", "initializer_factor"):
            check_not_negative(name, getattr(self, name))
        for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id"):
            check_token_id(name, getattr(self, name), self.vocab_size)
        if self.decoder_start_token_id is None:
            raise ValueError(
                "decoder_start_token_id and pad_token_id are None; set either to the id"
                " of the first token of a target"
            )
        check_activation("feed_forward_proj", self.activation)
        self._check_buckets()

    def _check_buckets(self) -> None:
        num, far = (
            self.relative_attention_num_buckets,
            self.relative_attention_max_distance,
        )
        if num < 4 or num % 2:
            raise ValueError(
                "relative_attention_num_buckets must be an even number of at least 4,"
                f" half of which are for either side, got {num}"
            )
        if far <= num // 2:
            raise ValueError(
                f"relative_attention_max_distance must be above {num // 2}, the buckets"
                f" of one distance each, got {far}"
            )

    @property
    def num_decoder(self) -> int:
        """Number of layers of the decoder."""
        num = self.num_decoder_layers
        return self.num_layers if num is None else num

    @property
    def is_scaled(self) -> bool:
        """Whether the states of the output layer are divided by the root of D."""
        scaled = self.scale_decoder_outputs
        return self.tie_word_embeddings if scaled is None else scaled

    @property
    def is_gated(self) -> bool:
        """Whether hidden units of the feed-forward block are gated."""
        return str(self.feed_forward_proj).startswith("gated-")

    @property
    def activation(self) -> str:
        """Activation of the feed-forward block, or of its gate."""
        if self.feed_forward_proj == "gated-gelu":
            return "gelu_new"  # As all checkpoints of this name were trained.
        return str(self.feed_forward_proj).removeprefix("gated-")

    @property
    def hidden_size(self) -> int:
        """Features D of a token."""
        return self.d_model

    @property
    def longest_text(self) -> int:
        """Most tokens of a text: any number, for there are no absolute positions."""
        return sys.maxsize

    @property
    def blocks(self) -> TransformerConfig:
        """The same sizes and rates by the names that the blocks of a network take."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.d_model,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=self.d_ff,
            hidden_act=self.activation,
            hidden_dropout_prob=self.dropout_rate,
            attention_probs_dropout_prob=self.dropout_rate,
            initializer_range=self.initializer_factor,
            layer_norm_eps=self.layer_norm_epsilon,
        )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "T5Config":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults. Without a token to start from,
            targets start with that of padding.

        Returns:
          The `T5Config`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> config = T5Config.from_dict({"model_type": "t5", "num_layers": 8,
          ...     "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False})
          >>> config.activation, config.num_decoder, config.is_scaled
          ('gelu_new', 8, False)
        """
        check_supported(config, _SUPPORTED)
        names = [field.name for field in dataclasses.fields(cls)]
        known = {name: config[name] for name in names if name in config}
        if known.get("decoder_start_token_id") is None:
            padding = known.get("pad_token_id", cls.pad_token_id)
            known["decoder_start_token_id"] = padding
        parsed = cls(**known)
        # What transformers derives and writes beside it.
        derived = {"dense_act_fn": parsed.activation, "is_gated_act": parsed.is_gated}
        check_supported(config, {name: (value,) for name, value in derived.items()})
        return parsed

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        return {
            "model_type": "t5",
            "is_encoder_decoder": True,
            **dataclasses.asdict(self),
            "num_decoder_layers": self.num_decoder,
            "scale_decoder_outputs": self.is_scaled,
        }
