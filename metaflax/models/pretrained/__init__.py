"""Pretrained checkpoints: read, and written back for Hugging Face."""

from metaflax.models.pretrained._load import Pretrained, load
from metaflax.models.pretrained._save import ProblemType, save
from metaflax.models.pretrained._tokenizer import tokenizer

__all__ = [
    "Pretrained",
    "ProblemType",
    "load",
    "save",
    "tokenizer",
]
