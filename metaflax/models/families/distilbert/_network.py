"""DistilBERT: a BERT without segments, whose classifier has a ReLU."""

import functools

from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import Pooler, TokenEmbeddings

NETWORK = EncoderNetwork(
    embeddings=functools.partial(TokenEmbeddings, has_segments=False),
    pooler=functools.partial(Pooler, activation="relu"),
)
