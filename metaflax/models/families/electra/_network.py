"""ELECTRA: a BERT with embeddings of another width, whose classifier has a GELU."""

import functools
from typing import Any

from metaflax.models.families.electra._config import ElectraConfig
from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import Pooler, ProjectedEmbeddings


def _embeddings(config: ElectraConfig, dtype: Any) -> ProjectedEmbeddings:
    return ProjectedEmbeddings(config, dtype, width=config.embedding_size)


NETWORK = EncoderNetwork(
    embeddings=_embeddings, pooler=functools.partial(Pooler, activation="gelu")
)
