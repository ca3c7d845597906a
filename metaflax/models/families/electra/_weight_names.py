"""Names of ELECTRA's tensors: Hugging Face's and ours."""

import functools

from metaflax.models.families import _fold, _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.electra._config import ElectraConfig
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.pretrained._places import Target


def places(config: ElectraConfig) -> dict[str, Target]:
    """Returns where all tensors of an ELECTRA go, without the pooler."""
    width, D = config.embedding_size, config.hidden_size
    places_ = _tensor_names.bert_embeddings(config, width)
    if width != D:
        path = "embeddings/projection"
        places_ |= _tensor_names.dense("embeddings_project", path, width, D)
    return places_ | _tensor_names.bert_layers(config)


FILES = EncoderFiles(
    architecture="Electra",
    prefix="electra.",
    places=places,
    pooler=None,
    hidden="classifier.dense",
    output="classifier.out_proj",
    # Replaced and masked words.
    ignored=("discriminator_predictions.", "generator_"),
    fold=functools.partial(_fold.fold, activation="gelu"),
)

WORD_HEAD = WordHead(
    dense="generator_predictions.dense",
    norm="generator_predictions.LayerNorm",
    bias="generator_lm_head.bias",
    decoder="generator_lm_head",
    module=functools.partial(TiedWordHead, activation="gelu"),
)
