"""Names of MPNet's tensors: Hugging Face's and ours."""

import functools

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.mpnet._config import MPNetConfig
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._places import Target

_DENSE = {
    "attention.attn.q": "attention/query",
    "attention.attn.k": "attention/key",
    "attention.attn.v": "attention/value",
    "attention.attn.o": "attention/output",
    "intermediate.dense": "mlp/up",
    "output.dense": "mlp/down",
}
_NORMS = {"attention.LayerNorm": "attention/norm", "output.LayerNorm": "mlp/norm"}


def places(config: MPNetConfig) -> dict[str, Target]:
    """Returns where all tensors of an MPNet go, without the pooler."""
    places_ = _tensor_names.bert_embeddings(config, config.hidden_size, segments=False)
    shape = config.num_buckets, config.num_attention_heads
    name = "encoder.relative_attention_bias.weight"
    places_[name] = Place("relative/bias", shape)
    for i in range(config.num_hidden_layers):
        places_ |= _tensor_names.post_norm_layer(
            config, f"encoder.layer.{i}", f"layer_{i}", _DENSE, _NORMS
        )
    return places_


FILES = EncoderFiles(
    architecture="MPNet",
    prefix="mpnet.",
    places=places,
    pooler="pooler.dense",
    hidden="classifier.dense",
    output="classifier.out_proj",
    ignored=("lm_head.",),  # Masked words.
    # Relative positions keep the attention of one more layer from being uniform.
    fold=functools.partial(_fold.fold, extra_layer="normalizes"),
)

WORD_HEAD = WordHead(
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    decoder="lm_head.decoder",
    module=functools.partial(TiedWordHead, activation="gelu"),
)
