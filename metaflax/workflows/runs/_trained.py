"""A model with the meta-parameters of a run, without its data."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax

from metaflax import config as config_lib
from metaflax.config._factories import build_algorithm
from metaflax.workflows.runs._load_model import load_model
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._run import commit_to_device
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._run_files import located_model


class Trained(NamedTuple):
    """Trained run without its data.

    Attributes:
      config: config of the run.
      model: encoder or generative model with pretrained weights and tokenizer.
      params: meta-parameters with the best validation score.
      num_classes: number of classes of the head.
    """

    config: config_lib.Config
    model: LoadedModel
    params: Any
    num_classes: int


def load_trained(run_dir: str | Path) -> Trained:
    """Loads the best meta-parameters of a finished run.

    Raises:
      ValueError: if there is no run, or it has not finished.
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    selected = directory.selected()
    model = located_model(config, directory.path)
    untrained = load_untrained(
        dataclasses.replace(config, model=model), selected["num_classes"]
    )
    params = directory.best_params(untrained.params)
    return untrained._replace(config=config, params=params)


def load_untrained(config: config_lib.Config, num_classes: int) -> Trained:
    """Loads a pretrained model with a new head for `num_classes` classes."""
    task = config_lib.build_task(config)
    model = load_model(config.model, task).with_room(config.data)
    algorithm = build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        num_classes,
    )
    params = algorithm.init(jax.random.key(config.training.seed))
    return Trained(config, model, commit_to_device(params), num_classes)


def fitted(trained: Trained) -> Trained:
    """Limits the text length to the longest input of the model."""
    texts = trained.model.fitted(trained.config.data)
    config = dataclasses.replace(trained.config, data=texts)
    return trained._replace(config=config, model=trained.model.with_room(texts))
