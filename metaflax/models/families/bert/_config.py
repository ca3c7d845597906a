"""Configuration of a BERT encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from metaflax.models.layers._config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class BertConfig(EncoderConfig):
    """Sizes and rates of a BERT encoder; names and defaults as Hugging Face.

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
      type_vocab_size: number of segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances.
      pad_token_id: id of padding.

    Examples:
      >>> from metaflax.models import BertConfig
      >>> config = BertConfig.from_dict({"model_type": "bert", "hidden_size": 384})
      >>> config.hidden_size, config.num_hidden_layers
      (384, 12)
    """

    model_type: ClassVar[str] = "bert"
    supported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }
