"""Pretrained checkpoints: read, and written back for Hugging Face."""

from metaflax.models.pretrained._language_models import (
    PretrainedLanguageModel,
    load_gpt,
    load_seq2seq,
    save_gpt,
    save_seq2seq,
)
from metaflax.models.pretrained._load import Pretrained, load
from metaflax.models.pretrained._masked_lm import load_masked_lm, save_masked_lm
from metaflax.models.pretrained._save import ProblemType, save
from metaflax.models.pretrained._tokenizer import tokenizer

__all__ = [
    "Pretrained",
    "PretrainedLanguageModel",
    "ProblemType",
    "load",
    "load_gpt",
    "load_masked_lm",
    "load_seq2seq",
    "save",
    "save_gpt",
    "save_masked_lm",
    "save_seq2seq",
    "tokenizer",
]
