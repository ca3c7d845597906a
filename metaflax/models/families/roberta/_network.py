"""RoBERTa: a BERT whose positions count real tokens, from behind the padding's row."""

from typing import Any

from metaflax.models.families.roberta._config import RobertaConfig
from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import TokenEmbeddings


def _embeddings(config: RobertaConfig, dtype: Any) -> TokenEmbeddings:
    return TokenEmbeddings(config, dtype, first_position=config.first_position)


NETWORK = EncoderNetwork(embeddings=_embeddings)
