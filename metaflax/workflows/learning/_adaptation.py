"""Adaptation of an encoder to tasks of any size, in few compiled programs."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from metaflax import base, models, target_kinds, tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_algorithm, build_head
from metaflax.tree._paths import is_empty
from metaflax.workflows.learning._support import LEAST_CLASSES, power_of_two
from metaflax.workflows.learning._text_encoder import TextEncoder
from metaflax.workflows.runs._encoder_scorers import reading_features
from metaflax.workflows.runs._process import one_blas_thread


class Adaptation:
    """Adapts an encoder and its output layer, compiled once per shape for all tasks.

    Args:
      encoder: the encoder.
      params: meta-parameters `{"encoder": ..., "head": ...}`; the encoder's alone for a
        new head.
      config: config of the algorithm.
      task: the task type.
      num_classes: number of classes of a trained head.
      seed: seed of the parameters of a new head.

    Attributes:
      params: the meta-parameters.
      has_head: whether the output layer was meta-trained.
      takes_unlabelled: whether the head also learns from texts without labels.
      shares_encoder: whether adaptation leaves the encoder unchanged; support sets then
        hold features, otherwise tokens.

    Raises:
      ValueError: for a head that is not a linear layer.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        params: Mapping[str, Any],
        config: AlgorithmConfig,
        task: tasks.TaskType,
        num_classes: int,
        seed: int = 0,
    ):
        self.params, self._config, self._task = params, config, task
        self._model, self._num_classes = encoder.model, num_classes
        self._seed = seed
        self._head = build_head(config, encoder.num_features, task, LEAST_CLASSES)
        if not self._head.is_linear:
            raise ValueError(
                f"the head of {config.name} is no linear layer, which saved and"
                " served models have; take an algorithm or a head with one, such as"
                " prototypes, ridge or logistic_regression."
            )
        self.has_head = "head" in params
        self.takes_unlabelled = self._head.takes_unlabelled
        self._algorithms = functools.cache(self._algorithm)
        self._meta_params = functools.cache(self._new_params)
        self._compiled = functools.cache(
            lambda room: jax.jit(self._algorithms(room, self.shares_encoder).adapt)
        )
        self.shares_encoder = task.tokens is None and self._leaves_encoder()

    def __call__(self, support: base.Batch, room: int) -> Any:
        """Adapts to a support set; returns `{"encoder": ..., "head": ...}`.

        Args:
          support: padded support set of features or tokens, see `shares_encoder`.
          room: number of classes of the head, see `padded_classes`.
        """
        with one_blas_thread():
            adapted, _ = self._compiled(room)(self._meta_params(room), support)
            return jax.block_until_ready(adapted)

    def padded_classes(self, num_names: int, source: str) -> int:
        """Returns the number of classes of the head: padded, or that of a trained head.

        Args:
          num_names: number of classes of the examples.
          source: name of the examples, for messages.

        Raises:
          ValueError: if there are too few or too many classes.
        """
        kind, of_tokens = target_kinds.of(self._task), self._task.tokens is not None
        if not kind.has_classes and not of_tokens:
            return num_names
        if num_names < 2 and kind.single_label:
            raise ValueError(
                f"{source}: there is {num_names} class; give examples of at least two."
            )
        if not self._head.per_class:
            return num_names if of_tokens else power_of_two(num_names, LEAST_CLASSES)
        if not self.has_head:
            return num_names
        if num_names > self._num_classes:
            raise ValueError(
                f"{source}: there are {num_names} classes, and the output layer was"
                f" meta-trained for {self._num_classes}; use a run of protonet or"
                " proto_maml, whose heads take any number, or train with a larger way."
            )
        return self._num_classes

    def _new_params(self, room: int) -> Any:
        """Returns the meta-parameters, with a new head unless one was trained."""
        if self.has_head:
            return self.params
        fresh: Any = self._algorithms(room, False).init(jax.random.key(self._seed))
        return {**fresh, **self.params}

    def _algorithm(self, room: int, on_features: bool) -> base.MetaAlgorithm:
        encoder = self._model.encoder
        if on_features:
            encoder = reading_features(encoder)
        return build_algorithm(
            self._config,
            encoder,
            lambda key: self.params["encoder"],
            self._task,
            room,
            num_steps=self._config.eval_num_steps,
        )

    def _leaves_encoder(self) -> bool:
        """True if adaptation changes no leaf of the encoder."""
        kind, room = target_kinds.of(self._task), LEAST_CLASSES
        if self.has_head and self._head.per_class:
            room = self._num_classes
        ids = np.zeros((2, 4), np.int32)
        marks = ids[:, : self._task.form.num_marks]
        tokens = models.Tokens(ids, None, np.ones_like(ids), None, marks)
        shape = (2, room) if kind.has_classes and not kind.single_label else (2,)
        targets = np.zeros(shape, np.int32 if kind.single_label else np.float32)
        support = base.Batch(tokens, targets, np.ones(2, np.float32))
        adapt = self._algorithms(room, False).adapt
        adapted, _ = jax.eval_shape(adapt, self._meta_params(room), support)
        return is_empty(adapted["encoder"])
