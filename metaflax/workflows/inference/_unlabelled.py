"""Adaptation to labelled texts together with texts without labels."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, tasks
from metaflax import config as config_lib
from metaflax.config._factories import build_algorithm
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._encoder_scorers import reading_features
from metaflax.workflows.runs._loaded_model import LoadedModel


def adapt_with_unlabelled(
    model: LoadedModel,
    params: Any,
    config: config_lib.Config,
    task: tasks.TaskType,
    support: base.Batch,
    texts: Sequence[Any],
    unlabelled: Sequence[Any],
    room: int,
) -> Any:
    """Fits a head that takes texts without labels; the encoder stays as it is.

    Args:
      model: model that encodes the texts.
      params: meta-parameters.
      config: config of algorithm and texts.
      task: the task type.
      support: support set; its targets and weights are used.
      texts: texts of the support set, then names of classes if there are any.
      unlabelled: texts without labels.
      room: number of classes of the head.

    Returns:
      The adapted parameters.
    """
    every = [*texts, *unlabelled]
    tokenized = model.tokenize(every, config.data, task.form)
    features = embedder(model)(params["encoder"], tokenized, np.arange(len(every)))
    encoder = reading_features(model.encoder)
    algorithm = build_algorithm(config.algorithm, encoder, model.init, task, room)
    num_unlabelled = len(unlabelled)
    batch = base.Batch(
        features,
        jnp.concatenate([support.targets, jnp.full(num_unlabelled, -1)]),
        jnp.concatenate([support.weights, jnp.ones(num_unlabelled)]),
    )
    adapted, _ = jax.jit(algorithm.adapt)(params, batch)
    return adapted
