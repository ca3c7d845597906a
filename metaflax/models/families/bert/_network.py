"""BERT as Flax Linen modules that are efficient to differentiate twice.

The parameter tree reads `embeddings/word`, `layer_0/attention/query/kernel`,
`layer_0/mlp/norm/scale`, `pooler/kernel`; a kernel is `[in, out]`. Leaves that
`with_lora`, `with_adapters`, `with_prefix` and `with_context` add are applied wherever
they occur.
"""

from metaflax.models.layers._encoder import EncoderNetwork

NETWORK = EncoderNetwork()
