"""ALBERT: a BERT whose layers share weights, with embeddings of another width.

The parameters of a layer are stored once, however often it runs.
"""

from typing import Any

import flax.linen as nn

from metaflax.models.families.albert._config import AlbertConfig
from metaflax.models.layers._encoder import EncoderNetwork, layer_name
from metaflax.models.layers._encoder_blocks import PostNormLayer, ProjectedEmbeddings


def _embeddings(config: AlbertConfig, dtype: Any) -> ProjectedEmbeddings:
    width = config.embedding_size
    return ProjectedEmbeddings(config, dtype, width=width, always=True)


def _layers(config: AlbertConfig, dtype: Any) -> list[tuple[str, nn.Module]]:
    layer = PostNormLayer(config, dtype)
    return [(layer_name(i), layer) for i in config.layer_numbers]


NETWORK = EncoderNetwork(embeddings=_embeddings, layers=_layers)
