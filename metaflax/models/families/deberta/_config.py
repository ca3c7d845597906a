"""Configuration of a DeBERTa encoder of version 2 or 3, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from metaflax.models.layers._config import (
    EncoderConfig,
    check_activation,
    check_integer,
)

_TERMS = ("c2p", "p2c")


@dataclasses.dataclass(frozen=True)
class DebertaV2Config(EncoderConfig):
    """Sizes and rates of a DeBERTa encoder; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block, such as `gelu`.
      hidden_dropout_prob: dropout rate of embeddings and of residual updates.
      attention_probs_dropout_prob: dropout rate of attention probabilities.
      max_position_embeddings: longest text in tokens.
      type_vocab_size: number of segments; 0 for no segment embedding.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: id of padding.
      embedding_size: features of an embedding; None for `hidden_size`.
      position_biased_input: whether there is a position embedding.
      relative_attention: whether scores depend on distances too.
      pos_att_type: those parts of such scores: "c2p", from content to position, and
        "p2c", from position to content.
      max_relative_positions: longest distance; -1 for `max_position_embeddings`.
      position_buckets: number of distances of either sign that are told apart; -1 for
        all.
      norm_rel_ebd: "layer_norm" where relative position embeddings are normalised.
      share_att_key: whether they are projected as content is.
      conv_kernel_size: tokens that a convolution beside the first layer sees; 0 for
        none.
      conv_groups: its groups of features.
      conv_act: its activation.
      pooler_hidden_act: activation of a classifier's first dense layer.
    """

    model_type: ClassVar[str] = "deberta-v2"
    unchecked: ClassVar[tuple[str, ...]] = (
        "type_vocab_size",
        "embedding_size",
        "max_relative_positions",
        "conv_kernel_size",
    )

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-7
    embedding_size: int | None = None
    position_biased_input: bool = True
    relative_attention: bool = False
    pos_att_type: tuple[str, ...] = ()
    max_relative_positions: int = -1
    position_buckets: int = -1
    norm_rel_ebd: str = "none"
    share_att_key: bool = False
    conv_kernel_size: int = 0
    conv_groups: int = 1
    conv_act: str = "tanh"
    pooler_hidden_act: str = "gelu"

    def __post_init__(self):
        super().__post_init__()
        if self.embedding_size is not None:
            check_integer("embedding_size", self.embedding_size)
        for name in ("type_vocab_size", "conv_kernel_size"):
            check_integer(name, getattr(self, name), at_least=0)
        for name in ("max_relative_positions", "position_buckets"):
            check_integer(name, getattr(self, name), at_least=-1)
        check_integer("conv_groups", self.conv_groups)
        if self.conv_kernel_size and self.conv_kernel_size % 2 == 0:
            raise ValueError(
                "the network cannot do an even conv_kernel_size, got"
                f" {self.conv_kernel_size}"
            )
        if self.hidden_size % self.conv_groups:
            raise ValueError(
                f"conv_groups={self.conv_groups} does not divide"
                f" hidden_size={self.hidden_size}"
            )
        if unknown := [term for term in self.pos_att_type if term not in _TERMS]:
            raise ValueError(
                f"the network cannot do pos_att_type={unknown[0]!r}; it supports"
                f" {', '.join(_TERMS)}"
            )
        if self.norm_rel_ebd not in ("none", "layer_norm"):
            raise ValueError(
                f"the network cannot do norm_rel_ebd={self.norm_rel_ebd!r}; it supports"
                " none and layer_norm"
            )
        for name in ("conv_act", "pooler_hidden_act"):
            check_activation(name, getattr(self, name))

    @property
    def embedding_width(self) -> int:
        """Features of an embedding."""
        return self.embedding_size or self.hidden_size

    @property
    def farthest(self) -> int:
        """Longest distance."""
        far = self.max_relative_positions
        return far if far >= 1 else self.max_position_embeddings

    @property
    def span(self) -> int:
        """Number of distances of either sign, each with its embedding."""
        return self.position_buckets if self.position_buckets > 0 else self.farthest

    @property
    def terms(self) -> tuple[str, ...]:
        """Parts of scores that depend on distances."""
        return self.pos_att_type if self.relative_attention else ()

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "DebertaV2Config":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults.

        Returns:
          The `DebertaV2Config`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> fields = {"model_type": "deberta-v2", "pos_att_type": "p2c|c2p"}
          >>> DebertaV2Config.from_dict(fields).pos_att_type
          ('p2c', 'c2p')
        """
        terms = config.get("pos_att_type") or ()
        if isinstance(terms, str):
            terms = [term.strip() for term in terms.lower().split("|")]
        if not isinstance(terms, list | tuple):
            raise ValueError(f"pos_att_type must be a list, got {terms!r:.40}")
        norm = str(config.get("norm_rel_ebd") or "none").lower()
        parsed = super().from_dict(
            {**config, "pos_att_type": tuple(terms), "norm_rel_ebd": norm}
        )
        size = parsed.hidden_size
        for name, usual in (
            ("pooler_hidden_size", size),
            ("attention_head_size", size // parsed.num_attention_heads),
        ):
            if config.get(name, usual) != usual:
                raise ValueError(
                    f"the network cannot do {name}={config[name]!r}; it supports"
                    f" {usual} only, for this hidden_size"
                )
        return parsed

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        fields = super().to_dict() | {
            "pos_att_type": list(self.pos_att_type),
            "embedding_size": self.embedding_width,
            "pooler_hidden_size": self.hidden_size,
        }
        return fields
