"""Names of ALBERT's tensors: Hugging Face's and ours."""

import functools

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.albert._config import AlbertConfig
from metaflax.models.layers._encoder import layer_name
from metaflax.models.pretrained._places import Target

_DENSE = {
    "attention.query": "attention/query",
    "attention.key": "attention/key",
    "attention.value": "attention/value",
    "attention.dense": "attention/output",
    "ffn": "mlp/up",
    "ffn_output": "mlp/down",
}
_NORMS = {
    "attention.LayerNorm": "attention/norm",
    "full_layer_layer_norm": "mlp/norm",
}


def places(config: AlbertConfig) -> dict[str, Target]:
    """Returns where all tensors of an ALBERT go, without the pooler."""
    width, D = config.embedding_size, config.hidden_size
    name, path = "encoder.embedding_hidden_mapping_in", "embeddings/projection"
    places_ = _tensor_names.bert_embeddings(config, width)
    places_ |= _tensor_names.dense(name, path, width, D)
    for number in sorted(set(config.layer_numbers)):
        group, inner = divmod(number, config.inner_group_num)
        theirs = f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"
        places_ |= _tensor_names.post_norm_layer(
            config, theirs, layer_name(number), _DENSE, _NORMS
        )
    return places_


FILES = EncoderFiles(
    architecture="Albert",
    prefix="albert.",
    places=places,
    pooler="pooler",
    hidden="albert.pooler",
    ignored=("predictions.", "sop_classifier."),  # Masked words, order of sentences.
    fold=functools.partial(_fold.fold, extra_layer="none"),
)

WORD_HEAD = WordHead(
    dense="predictions.dense",
    norm="predictions.LayerNorm",
    bias="predictions.bias",
    decoder="predictions.decoder",
)
