"""A BERT whose attention is one fused kernel, for derivatives of first order.

`jax.nn.dot_product_attention` by cuDNN has no second derivative, so that the package's
networks do not use it; this module measures what it would save.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from metaflax import models
from metaflax.models.layers import _attention, _encoder, _encoder_blocks

# Scores of padding are below it, those of tokens above.
HIDDEN = _attention.MASKED / 2


def implementation() -> Literal["cudnn", "xla"]:
    """Name of this machine's implementation: cuDNN on NVIDIA GPUs, otherwise XLA."""
    is_cuda = "cuda" in jax.devices()[0].client.platform_version.lower()
    return "cudnn" if jax.default_backend() == "gpu" and is_cuda else "xla"


class FusedAttention(_encoder_blocks.SelfAttention):
    """Self-attention by `jax.nn.dot_product_attention`, without dropout."""

    def mixed(self, query, slots, bias, rows, key, *, use_bias=True):
        """Mixes values by scores, and projects; see `Attention.mixed`."""
        assert key is None, "dropout is not part of the benchmark"
        num_texts = rows.shape[0]

        def by_text(x: jax.Array) -> jax.Array:  # [B * H, l, d] to [B, l, H, d].
            return x.reshape(num_texts, -1, *x.shape[1:]).swapaxes(1, 2)

        kept = jnp.sum(bias[:, 0, 0] > HIDDEN, axis=-1, dtype=jnp.int32)  # [B]
        queries, keys, values = map(by_text, (query, slots.keys, slots.values))
        mixed = jax.nn.dot_product_attention(
            queries,
            keys,
            values,
            scale=1.0,  # Queries are scaled.
            # The same for all tasks under `vmap`, as cuDNN's batching rule assumes.
            query_seq_lengths=0 * kept + queries.shape[1],
            key_value_seq_lengths=kept,
            implementation=implementation(),
        )
        mixed = rows.pack(mixed.reshape(*mixed.shape[:2], -1))  # [R, H * d]
        dense = self.dense("output", self.config.hidden_size, use_bias=use_bias)
        return self.adapted(dense(mixed))


class FusedLayer(_encoder_blocks.PostNormLayer):
    """A layer of BERT with `FusedAttention`."""

    attention: type[_attention.Attention] = FusedAttention


def _layers(config: Any, dtype: Any) -> list[tuple[str, Any]]:
    layer = FusedLayer(config, dtype)
    names = map(_encoder.layer_name, range(config.num_hidden_layers))
    return [(name, layer) for name in names]


def encoder(config: models.BertConfig, dtype: Any) -> models.Encoder:
    """The encoder of `models.encoder`, on the same parameters, with fused attention."""
    network = _encoder.EncoderNetwork(layers=_layers)
    fused = _encoder.encoder(network, config, dtype=dtype)
    # Weights are drawn in float32, which cuDNN's kernel does not take.
    return fused._replace(init=models.encoder(config).init)
