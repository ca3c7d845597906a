"""Configuration of a BERT encoder, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from metaflax.models.layers._config import TransformerConfig, check_supported

# Fields of a Hugging Face configuration that change the network, and the values that
# ours can serve.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


@dataclasses.dataclass(frozen=True)
class BertConfig(TransformerConfig):
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
    """

    pad_token_id: int = 0

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "BertConfig":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary; fields without meaning for the network are ignored,
            absent ones have Hugging Face's defaults.

        Returns:
          The `BertConfig`.

        Raises:
          ValueError: if the configuration asks for what the network does not do.

        Examples:
          >>> config = BertConfig.from_dict({"model_type": "bert", "hidden_size": 384})
          >>> config.hidden_size, config.num_hidden_layers
          (384, 12)
        """
        check_supported(config, _SUPPORTED)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names if name in config})

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        fixed = {name: values[0] for name, values in _SUPPORTED.items()}
        return {**fixed, **dataclasses.asdict(self)}
