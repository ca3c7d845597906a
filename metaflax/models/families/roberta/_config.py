"""Configurations of RoBERTa encoders and their kin, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from metaflax.models.layers._config import EncoderConfig, is_integer


@dataclasses.dataclass(frozen=True)
class RobertaConfig(EncoderConfig):
    """Sizes and rates of a RoBERTa encoder; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block, such as `gelu`.
      hidden_dropout_prob: dropout rate of embeddings and of residual updates.
      attention_probs_dropout_prob: dropout rate of attention probabilities.
      max_position_embeddings: rows of the position embedding, of which those up to
        `pad_token_id` belong to no token.
      type_vocab_size: number of segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: id of padding, after which positions are counted.

    Examples:
      >>> RobertaConfig(max_position_embeddings=514).longest_text
      512
    """

    model_type: ClassVar[str] = "roberta"
    supported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }

    vocab_size: int = 50265
    pad_token_id: int = 1

    def __post_init__(self):
        super().__post_init__()
        if not is_integer(self.pad_token_id, at_least=0):
            raise ValueError(
                "pad_token_id must be an id, after which positions are counted, got"
                f" {self.pad_token_id!r}"
            )
        self.check_positions(self.first_position)

    @property
    def first_position(self) -> int:
        """The row of the position embedding of a text's first token."""
        return self.pad_token_id + 1

    @property
    def longest_text(self) -> int:
        """Most tokens of a text."""
        return self.max_position_embeddings - self.first_position


@dataclasses.dataclass(frozen=True)
class XLMRobertaConfig(RobertaConfig):
    """Sizes and rates of an XLM-RoBERTa encoder, see `RobertaConfig`."""

    model_type: ClassVar[str] = "xlm-roberta"

    vocab_size: int = 30522


@dataclasses.dataclass(frozen=True)
class CamembertConfig(RobertaConfig):
    """Sizes and rates of a CamemBERT encoder, see `RobertaConfig`."""

    model_type: ClassVar[str] = "camembert"

    vocab_size: int = 30522
