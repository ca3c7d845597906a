"""Features of a film's text: encoder features, genres and year."""

import re
from collections.abc import Sequence

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, models

# Centres and width of radial basis functions of the year.
TIMES, WIDTH = np.arange(1930, 2020, 10), 8.0
KINDS_SCALE = 0.6  # So that the norm of these features is about an embedding's.


def embedded(
    texts: Sequence[str], config: config_lib.Config, batch_size: int = 128
) -> np.ndarray:
    """Computes features of unit length by the frozen encoder, `[F, D]`."""
    name = config.model.name
    source = data.fetch_minilm() if name == "minilm" else name
    pretrained = models.load(source)
    standardize = config.model.standardize is not False
    encoder = models.encoder(pretrained.config, standardize=standardize)
    tokenized = data.tokenize(
        pretrained.tokenizer(),
        texts,
        max_length=config.data.max_length,
        on_long=config.data.on_long,
    )
    apply = jax.jit(encoder.apply)
    features = np.zeros((len(texts), encoder.num_features), np.float32)
    by_length = np.argsort(tokenized.lengths, kind="stable")
    for start in range(0, len(texts), batch_size):
        rows = by_length[start : start + batch_size]
        tokens = data.collate_texts(tokenized, rows, batch_size)
        features[rows] = np.asarray(apply(pretrained.params, tokens))[: len(rows)]
    return features


def kinds(texts: Sequence[str]) -> np.ndarray:
    """Computes centred features of the genres and the year in a text, `[F, K]`.

    An encoder represents both among much else; these features need few ratings.
    """
    named = [set(text.rpartition(". ")[2].split(", ")) - {""} for text in texts]
    genres = sorted(set().union(*named))
    has = np.array([[genre in of_film for genre in genres] for of_film in named])
    years = np.array([_year(text) for text in texts])
    bumps = np.exp(-(((years[:, None] - TIMES) / WIDTH) ** 2))  # 0 for no year.
    columns = np.concatenate([has, bumps], axis=1)
    return (KINDS_SCALE * (columns - columns.mean(axis=0))).astype(np.float32)


def _year(text: str) -> int:
    results = re.findall(r"\((\d{4})\D*\)", text)
    return int(results[-1]) if results else 0
