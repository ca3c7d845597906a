"""The family of BERT encoders."""

from metaflax.models.families._contract import NewModel, Sizes
from metaflax.models.families._encoder_family import encoder_family
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._network import NETWORK
from metaflax.models.families.bert._weight_names import FILES, WORD_HEAD


def bert_config(sizes: Sizes) -> BertConfig:
    """Returns the configuration of a new BERT of these sizes."""
    return BertConfig(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.mlp_width or 4 * sizes.width,
        max_position_embeddings=sizes.positions,
        hidden_dropout_prob=sizes.dropout,
        attention_probs_dropout_prob=sizes.dropout,
    )


BERT = encoder_family(
    BertConfig,
    NETWORK,
    FILES,
    WORD_HEAD,
    new=NewModel(bert_config, "bert"),
)
