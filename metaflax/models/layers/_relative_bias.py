"""Bias of attention scores by the distance between tokens, learned in buckets."""

import functools
from typing import Any

import flax.linen as nn
import jax

from metaflax.models.layers import _relative
from metaflax.models.layers._encoder_blocks import Shared, padding_bias
from metaflax.models.layers._tokens import Tokens


class RelativeBias(nn.Module):
    """Bias of the scores of all layers of an encoder; padding is hidden.

    Attributes:
      num_buckets: number of buckets of distances, half of them for either side.
      far: from this distance on all tokens of a side are in one bucket.
      num_heads: attention heads H.
      init_table: draws the table `bias`, `[buckets, H]`.
      dtype: dtype of computation.
      longest_text: most tokens of a text, where its length is symbolic.

    References:
      Raffel et al., `Exploring the Limits of Transfer Learning with a Unified
      Text-to-Text Transformer <https://arxiv.org/abs/1910.10683>`_, 2020.
    """

    num_buckets: int
    far: int
    num_heads: int
    init_table: nn.initializers.Initializer
    dtype: Any
    longest_text: int = 512

    @nn.compact
    def __call__(self, tokens: Tokens) -> Shared:
        shape = self.num_buckets, self.num_heads
        table: jax.Array = self.param("bias", self.init_table, shape)
        bias = padding_bias(tokens, self.dtype)
        sort = functools.partial(
            _relative.two_sided_buckets, num_buckets=self.num_buckets, far=self.far
        )
        buckets = _relative.for_distances(sort, bias.shape[-1], self.longest_text)
        relative = _relative.bias_by_pairs(table, buckets).astype(bias.dtype)
        return Shared(bias + relative[None])  # [B, H, L, L]
