"""MPNet: a BERT with relative positions, shared by all layers, and without segments.

The parameter tree is that of a BERT, with `relative/bias` `[buckets, H]` beside it.

References:
  Song et al., `MPNet: Masked and Permuted Pre-training for Language Understanding
  <https://arxiv.org/abs/2004.09297>`_, 2020.
"""

from typing import Any

import flax.linen as nn

from metaflax.models.families.mpnet._config import MPNetConfig
from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import TokenEmbeddings
from metaflax.models.layers._relative_bias import RelativeBias

# From this distance on all tokens are in one bucket.
_FAR = 128


def _relative(config: MPNetConfig, dtype: Any) -> RelativeBias:
    init = nn.initializers.normal(config.initializer_range)
    return RelativeBias(
        config.num_buckets,
        _FAR,
        config.num_attention_heads,
        init,
        dtype,
        config.longest_text,
    )


def _embeddings(config: MPNetConfig, dtype: Any) -> TokenEmbeddings:
    return TokenEmbeddings(
        config, dtype, first_position=config.first_position, has_segments=False
    )


NETWORK = EncoderNetwork(embeddings=_embeddings, relative=_relative)
