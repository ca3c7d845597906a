"""Configuration of a DistilBERT encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from metaflax.models.layers._config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class DistilBertConfig(EncoderConfig):
    """Sizes and rates of a DistilBERT encoder; defaults as Hugging Face.

    Attributes:
      vocab_size: rows of the word embedding.
      hidden_size: features D of a token; `dim` in files.
      num_hidden_layers: number of layers; `n_layers` in files.
      num_attention_heads: attention heads of a layer; `n_heads` in files.
      intermediate_size: width of the feed-forward block; `hidden_dim` in files.
      hidden_act: activation of that block; `activation` in files.
      hidden_dropout_prob: dropout rate of embeddings and residual updates; `dropout`.
      attention_probs_dropout_prob: dropout rate of attention probabilities;
        `attention_dropout` in files.
      max_position_embeddings: longest text in tokens.
      type_vocab_size: not used: there are no segments.
      initializer_range: standard deviation of fresh weights.
      layer_norm_eps: added to variances; always the same.
      pad_token_id: id of padding.

    Examples:
      >>> DistilBertConfig.from_dict({"dim": 24}).hidden_size
      24
    """

    model_type: ClassVar[str] = "distilbert"
    renamed: ClassVar[Mapping[str, str | None]] = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "type_vocab_size": None,
        "layer_norm_eps": None,
    }

    num_hidden_layers: int = 6
