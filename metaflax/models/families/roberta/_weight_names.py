"""Names of RoBERTa's tensors: Hugging Face's and ours."""

import functools

from metaflax.models.families import _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.roberta._config import RobertaConfig
from metaflax.models.layers._modules import TiedWordHead
from metaflax.models.pretrained._places import Target


def places(config: RobertaConfig) -> dict[str, Target]:
    """Returns where all tensors of a RoBERTa go, without the pooler."""
    embeddings = _tensor_names.bert_embeddings(config, config.hidden_size)
    return embeddings | _tensor_names.bert_layers(config)


def files(architecture: str) -> EncoderFiles:
    """Returns the names of tensors in files of an architecture."""
    return EncoderFiles(
        architecture=architecture,
        prefix="roberta.",
        places=places,
        pooler="pooler.dense",
        hidden="classifier.dense",
        output="classifier.out_proj",
        ignored=("lm_head.",),  # Masked words.
    )


WORD_HEAD = WordHead(
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    decoder="lm_head.decoder",
    module=functools.partial(TiedWordHead, activation="gelu"),
)
