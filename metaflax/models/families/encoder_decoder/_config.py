"""Configuration of an encoder-decoder of two BERTs, in Hugging Face's terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from metaflax.models.families.bert._config import BertConfig
from metaflax.models.layers._config import check_supported, check_token_id

_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("encoder-decoder",),
    "tie_encoder_decoder": (False,),
}
# Fields of the decoder alone; otherwise it is configured as a BERT is.
_DECODER: dict[str, tuple[Any, ...]] = {
    "is_decoder": (True,),
    "add_cross_attention": (True,),
    "tie_word_embeddings": (True,),
    "cross_attention_hidden_size": (None,),
}


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig:
    """Encoder-decoder with a BERT encoder and a BERT decoder.

    Attributes:
      encoder: configuration of the encoder.
      decoder: configuration of the decoder. Its output layer is tied to its word
        embedding, and it attends to the encoder's last states in every layer.
      decoder_start_token_id: id of the first token of a target.
      eos_token_id: id of its last token, None for none.
      pad_token_id: id of padding, None for none.

    Examples:
      >>> from metaflax import models
      >>> small = models.BertConfig(vocab_size=50, num_hidden_layers=1)
      >>> config = models.Seq2SeqConfig(small, small, decoder_start_token_id=2)
      >>> config.decoder.num_hidden_layers, config.pad_token_id
      (1, None)
      >>> models.Seq2SeqConfig(small, small, decoder_start_token_id=50)
      Traceback (most recent call last):
        ...
      ValueError: decoder_start_token_id must be None or one id below ...
    """

    encoder: BertConfig
    decoder: BertConfig
    decoder_start_token_id: int
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self):
        for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id"):
            check_token_id(name, getattr(self, name), self.decoder.vocab_size)
        if self.decoder_start_token_id is None:
            raise ValueError(
                "decoder_start_token_id is None; set it to the id of the first token of"
                " a target"
            )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "Seq2SeqConfig":
        """Parses a Hugging Face configuration, the content of `config.json`.

        Args:
          config: the dictionary, which holds one of the encoder and one of the decoder;
            fields without meaning for the network are ignored.

        Returns:
          The `Seq2SeqConfig`.

        Raises:
          ValueError: if the network does not support the configuration.

        Examples:
          >>> decoder = {"is_decoder": True, "add_cross_attention": True}
          >>> config = Seq2SeqConfig.from_dict({
          ...     "model_type": "encoder-decoder",
          ...     "encoder": {"model_type": "bert", "num_hidden_layers": 6},
          ...     "decoder": {"model_type": "bert", **decoder},
          ...     "decoder_start_token_id": 101,
          ... })
          >>> config.encoder.num_hidden_layers, config.decoder.num_hidden_layers
          (6, 12)
        """
        check_supported(config, _SUPPORTED)
        parts = {}
        for name in ("encoder", "decoder"):
            part = config.get(name)
            if not isinstance(part, Mapping):
                raise ValueError(f"the configuration has no dictionary of the {name}")
            parts[name] = dict(part)
        # Absent fields of a decoder would make it an encoder.
        of_decoder = {"is_decoder": False, "add_cross_attention": False}
        check_supported(of_decoder | parts["decoder"], _DECODER)
        encoder = BertConfig.from_dict(parts["encoder"])
        decoder = BertConfig.from_dict(parts["decoder"] | of_decoder)
        tokens = {
            name: config.get(name, parts["decoder"].get(name))
            for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id")
        }
        return cls(encoder, decoder, **tokens)

    def to_dict(self) -> dict[str, Any]:
        """Returns the Hugging Face configuration of this network."""
        of_decoder = {name: values[0] for name, values in _DECODER.items()}
        of_decoder.pop("cross_attention_hidden_size")
        return {
            "model_type": "encoder-decoder",
            "is_encoder_decoder": True,
            "encoder": self.encoder.to_dict(),
            "decoder": self.decoder.to_dict() | of_decoder,
            "decoder_start_token_id": self.decoder_start_token_id,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
        }
