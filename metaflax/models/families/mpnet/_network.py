"""MPNet: a BERT with relative positions, shared by all layers, and without segments.

The parameter tree is that of a BERT, with `relative/bias` `[buckets, H]` beside it.

References:
  Song et al., `MPNet: Masked and Permuted Pre-training for Language Understanding
  <https://arxiv.org/abs/2004.09297>`_, 2020.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metaflax.models.families.mpnet._config import MPNetConfig
from metaflax.models.layers import _relative
from metaflax.models.layers._encoder import EncoderNetwork
from metaflax.models.layers._encoder_blocks import (
    Shared,
    TokenEmbeddings,
    padding_bias,
)
from metaflax.models.layers._tokens import Tokens

# From this distance on all tokens are in one bucket.
_FAR = 128


class RelativeBias(nn.Module):
    """Bias of the scores of all layers, from the distance between tokens.

    Attributes:
      config: sizes and rates.
      dtype: of computation.
    """

    config: MPNetConfig
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Tokens) -> Shared:
        num_buckets, H = self.config.num_buckets, self.config.num_attention_heads
        init = nn.initializers.normal(self.config.initializer_range)
        table = self.param("bias", init, (num_buckets, H))
        bias = padding_bias(tokens, self.dtype)
        L = bias.shape[-1]
        buckets = _relative.two_sided_buckets(
            _relative.distances(L), num_buckets=num_buckets, far=_FAR
        )
        chosen = jax.nn.one_hot(buckets, num_buckets, dtype=table.dtype)
        by_distance = jnp.matmul(chosen, table, precision="highest").T  # [H, 2 L - 1]
        by_distance = jnp.broadcast_to(by_distance[:, None], (H, L, 2 * L - 1))
        relative = _relative.by_pairs(by_distance).astype(bias.dtype)
        return Shared(bias + relative[None])  # [B, H, L, L]


def _embeddings(config: MPNetConfig, dtype: Any) -> TokenEmbeddings:
    return TokenEmbeddings(
        config, dtype, first_position=config.first_position, has_segments=False
    )


NETWORK = EncoderNetwork(embeddings=_embeddings, relative=RelativeBias)
