"""Names of BERT's tensors: Hugging Face's and ours."""

from metaflax.models.families import _tensor_names
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.pretrained._places import Target


def places(config: BertConfig) -> dict[str, Target]:
    """Returns where all tensors of a BERT of this size go, without the pooler."""
    embeddings = _tensor_names.bert_embeddings(config, config.hidden_size)
    return embeddings | _tensor_names.bert_layers(config)


FILES = EncoderFiles(
    architecture="Bert",
    prefix="bert.",
    places=places,
    pooler="pooler.dense",
    hidden="bert.pooler.dense",
    ignored=("cls.",),  # Masked words and next sentence.
)

WORD_HEAD = WordHead(
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    decoder="cls.predictions.decoder",
)
