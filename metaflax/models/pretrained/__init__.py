"""Files of pretrained checkpoints and tokenizers."""

from metaflax.models.pretrained._checkpoint import Pretrained
from metaflax.models.pretrained._directory import ProblemType
from metaflax.models.pretrained._files import find
from metaflax.models.pretrained._tokenizer import num_ids, tokenizer
from metaflax.models.pretrained._train_tokenizer import TokenizerKind, train_tokenizer

__all__ = [
    "Pretrained",
    "ProblemType",
    "TokenizerKind",
    "find",
    "num_ids",
    "tokenizer",
    "train_tokenizer",
]
