"""Families of encoders from their parts."""

import functools
from typing import Any

from metaflax.models.families._additions import ADDITIONS
from metaflax.models.families._encoder_files import EncoderFiles
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._masked_lm import masked_lm_family
from metaflax.models.families._masked_lm_files import WordHead
from metaflax.models.layers import _encoder
from metaflax.models.layers._config import EncoderConfig
from metaflax.models.layers._encoder import EncoderNetwork


def encoder_family(
    config_class: type[EncoderConfig],
    network: EncoderNetwork,
    files: EncoderFiles,
    word_head: WordHead,
    **more: Any,
) -> ModelFamily:
    """Makes a family of encoders.

    Args:
      config_class: class of its configurations.
      network: the parts of its networks.
      files: names of its tensors.
      word_head: output layer of its masked language models.
      **more: further fields of the `ModelFamily`.
    """
    read, write = files.functions()
    return ModelFamily(
        model_type=config_class.model_type,
        config_class=config_class,
        encoder=functools.partial(_encoder.encoder, network),
        max_positions=lambda config: config.longest_text,
        read=read,
        write=write,
        additions=ADDITIONS,
        word_embedding="embeddings/word",
        masked_lm=masked_lm_family(network, files, word_head),
        **more,
    )
