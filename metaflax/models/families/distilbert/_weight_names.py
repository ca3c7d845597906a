"""Names of DistilBERT's tensors: Hugging Face's and ours."""

import functools

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.distilbert._config import DistilBertConfig
from metaflax.models.pretrained._places import Target

_DENSE = {
    "attention.q_lin": "attention/query",
    "attention.k_lin": "attention/key",
    "attention.v_lin": "attention/value",
    "attention.out_lin": "attention/output",
    "ffn.lin1": "mlp/up",
    "ffn.lin2": "mlp/down",
}
_NORMS = {"sa_layer_norm": "attention/norm", "output_layer_norm": "mlp/norm"}


def places(config: DistilBertConfig) -> dict[str, Target]:
    """Returns where all tensors of a DistilBERT go, without the pooler."""
    places_ = _tensor_names.bert_embeddings(config, config.hidden_size, segments=False)
    for i in range(config.num_hidden_layers):
        places_ |= _tensor_names.post_norm_layer(
            config, f"transformer.layer.{i}", f"layer_{i}", _DENSE, _NORMS
        )
    return places_


FILES = EncoderFiles(
    architecture="DistilBert",
    prefix="distilbert.",
    places=places,
    pooler=None,
    hidden="pre_classifier",
    ignored=("vocab_",),  # Masked words.
    fold=functools.partial(_fold.fold, activation="relu"),
)

WORD_HEAD = WordHead(
    dense="vocab_transform",
    norm="vocab_layer_norm",
    bias="vocab_projector.bias",
    decoder="vocab_projector",
)
