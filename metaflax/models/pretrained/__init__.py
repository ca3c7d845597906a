"""Pretrained checkpoints: read, and written back for Hugging Face."""

from metaflax.models.pretrained._language_models import (
    PretrainedLanguageModel,
    is_language_model,
    load_gpt,
    load_language_model,
    load_seq2seq,
    save_gpt,
    save_seq2seq,
)
from metaflax.models.pretrained._load import Pretrained, load
from metaflax.models.pretrained._masked_lm import load_masked_lm, save_masked_lm
from metaflax.models.pretrained._save import ProblemType, save
from metaflax.models.pretrained._tokenizer import tokenizer
from metaflax.models.pretrained._train_tokenizer import Family, train_tokenizer

__all__ = [
    "Family",
    "Pretrained",
    "PretrainedLanguageModel",
    "ProblemType",
    "is_language_model",
    "load",
    "load_gpt",
    "load_language_model",
    "load_masked_lm",
    "load_seq2seq",
    "save",
    "save_gpt",
    "save_masked_lm",
    "save_seq2seq",
    "tokenizer",
    "train_tokenizer",
]
