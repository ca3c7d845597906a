"""Configuration of an ALBERT encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from metaflax.models.layers._config import (
    EncoderConfig,
    check_integer,
    check_num_layers,
)


@dataclasses.dataclass(frozen=True)
class AlbertConfig(EncoderConfig):
    """Sizes and rates of an ALBERT encoder; names and defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token.
      num_hidden_layers: number of layers that run, times `inner_group_num`.
      num_attention_heads: attention heads of a layer; they divide `hidden_size`.
      intermediate_size: width of the feed-forward block.
      hidden_act: activation of that block, such as `gelu_new`.
      hidden_dropout_prob: dropout rate of embeddings and of residual updates.
      attention_probs_dropout_prob: dropout rate of attention probabilities.
      max_position_embeddings: longest text in tokens.
      type_vocab_size: number of segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: id of padding.
      embedding_size: features of an embedding.
      num_hidden_groups: groups of consecutive layers that share their weights.
      inner_group_num: layers of a group, which run one after the other each time.

    Examples:
      >>> AlbertConfig(num_hidden_layers=3, num_hidden_groups=2).layer_numbers
      (0, 0, 1)
    """

    model_type: ClassVar[str] = "albert"
    supported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "position_embedding_type": ("absolute",),
    }

    vocab_size: int = 30000
    hidden_size: int = 4096
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    embedding_size: int = 128
    num_hidden_groups: int = 1
    inner_group_num: int = 1

    def __post_init__(self):
        super().__post_init__()
        check_integer("inner_group_num", self.inner_group_num)
        check_num_layers(
            "num_hidden_layers * inner_group_num",
            self.num_hidden_layers * self.inner_group_num,
        )
        if self.num_hidden_groups > self.num_hidden_layers:
            raise ValueError(
                f"num_hidden_groups={self.num_hidden_groups} is above"
                f" num_hidden_layers={self.num_hidden_layers}"
            )

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The number of the weights of each layer, in the order that they run."""
        share = self.num_hidden_layers / self.num_hidden_groups
        return tuple(
            int(i / share) * self.inner_group_num + inner
            for i in range(self.num_hidden_layers)
            for inner in range(self.inner_group_num)
        )
