"""The encoding of pairs that suits a model, where a config names none."""

import dataclasses

from metaflax import config as config_lib
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.tasks._forms import ONE_SEQUENCE
from metaflax.workflows.runs._loaded_model import locate


def with_pair_encoding(config: config_lib.Config) -> config_lib.Config:
    """Names the pair encoding that follows from the model, where there is a choice.

    An encoder of single sentences has learned to compare their vectors, and nothing of
    two texts in one sequence: frozen, it is near chance there (experiments/leopard).

    Raises:
      ValueError: if the files of the model cannot be had.
    """
    if config.model.pair_encoding is not None:
        return config
    encoding = config_lib.build_task(config).form.of_sentences
    if (
        encoding == ONE_SEQUENCE
        or sentence_embedding(locate(config.model.name)) is None
    ):
        return config
    model = dataclasses.replace(config.model, pair_encoding=encoding)
    return dataclasses.replace(config, model=model)


def _encodes_sentences(name: str) -> bool:
    return sentence_embedding(locate(name)) is not None
