"""Files of pretrained checkpoints and tokenizers."""

from metaflax.models.pretrained._checkpoint import Pretrained
from metaflax.models.pretrained._tokenizer import tokenizer

__all__ = [
    "Pretrained",
    "tokenizer",
]
