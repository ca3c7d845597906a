"""Language models: networks, and their pretrained weights."""

from metaflax.models import pretrained
from metaflax.models._bert_config import BertConfig
from metaflax.models._encoder import Encoder, Pooling, encoder, hidden_states
from metaflax.models._tokens import Tokens

__all__ = [
    "BertConfig",
    "Encoder",
    "Pooling",
    "Tokens",
    "encoder",
    "hidden_states",
    "pretrained",
]
