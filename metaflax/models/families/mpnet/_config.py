"""Configuration of an MPNet encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from metaflax.models.layers._config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class MPNetConfig(EncoderConfig):
    """Sizes and rates of an MPNet encoder; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers.
      num_attention_heads: attention heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block, such as `gelu`.
      hidden_dropout_prob: dropout rate of embeddings and of residual updates.
      attention_probs_dropout_prob: dropout rate of attention probabilities.
      max_position_embeddings: rows of the position embedding, of which the first two
        belong to no token.
      type_vocab_size: not used: there are no segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: id of padding.

    Examples:
      >>> MPNetConfig(max_position_embeddings=514).longest_text
      512
    """

    model_type: ClassVar[str] = "mpnet"
    supported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        # Hugging Face's network computes buckets for no other number.
        "relative_attention_num_buckets": (32,),
    }
    renamed: ClassVar[Mapping[str, str | None]] = {"type_vocab_size": None}

    vocab_size: int = 30527
    pad_token_id: int = 1

    def __post_init__(self):
        super().__post_init__()
        self.check_positions(self.first_position)

    @property
    def num_buckets(self) -> int:
        """Rows of the relative position embedding."""
        return self.supported["relative_attention_num_buckets"][0]

    @property
    def first_position(self) -> int:
        """The row of the position embedding of a text's first token."""
        return 2

    @property
    def longest_text(self) -> int:
        """Most tokens of a text."""
        return self.max_position_embeddings - self.first_position
