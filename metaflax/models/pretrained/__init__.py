"""Files of pretrained checkpoints and tokenizers."""

from metaflax.models.pretrained._checkpoint import Pretrained
from metaflax.models.pretrained._files import find
from metaflax.models.pretrained._tokenizer import tokenizer
from metaflax.models.pretrained._train_tokenizer import train_tokenizer

__all__ = [
    "Pretrained",
    "find",
    "tokenizer",
    "train_tokenizer",
]
