"""A model in memory that learns many tasks from a few examples each."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, metrics, target_kinds
from metaflax.config._check import check_label_names
from metaflax.data.sources._label_texts import LabelTexts, NameSource
from metaflax.few_shot._adaptation import Adaptation
from metaflax.few_shot._learned_task import LearnedTask, output_layer
from metaflax.few_shot._predictions import decode, token_outputs, truncation
from metaflax.few_shot._support import (
    feature_support,
    text_support,
    token_support,
    with_unlabelled,
)
from metaflax.few_shot._text_encoder import Encoded, TextEncoder, coverage_of
from metaflax.workflows.inference._head_choice import (
    HeadChoice,
    NamedFeatures,
    check_choosable,
    choose_head,
)
from metaflax.workflows.runs._calibration import Calibration, why_uncalibrated
from metaflax.workflows.runs._protocol import check_unlabelled


class Learner:
    """A pretrained or meta-trained encoder that learns tasks from examples in memory.

    Where adaptation leaves the encoder as it is, texts are encoded once and every task
    is an output layer on the same features.

    Args:
      encoder: the encoder.
      params: meta-parameters `{"encoder": ..., "head": ...}`; the encoder's alone for a
        new head.
      config: of algorithm, model and texts.
      num_classes: number of classes of a trained head.
      calibration: that of the run, if any.
      run_dir: the run that the encoder is of, if any; model cards describe it.

    Attributes:
      encoder: the encoder.
      config: the config.
      run_dir: the run that the encoder is of, if any.
      task: the task type.

    Raises:
      ValueError: for a task type that generates texts, or a head that is no linear
        layer.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        params: Mapping[str, Any],
        config: config_lib.Config,
        num_classes: int,
        calibration: Calibration | None = None,
        run_dir: Path | None = None,
    ):
        self.encoder, self.config, self.run_dir = encoder, config, run_dir
        self._calibration = calibration
        self.task = task = config_lib.build_task(config)
        if task.texts is not None:
            raise ValueError(
                f"{config.data.task} generates texts, which is learned by `metaflax"
                " adapt`; name a task type of encoders."
            )
        self._adapt = Adaptation(encoder, params, config.algorithm, task, num_classes)
        # Names of classes occur again and again.
        self._named_features = functools.lru_cache(maxsize=32)(encoder.encode)

    @property
    def params(self) -> Mapping[str, Any]:
        """The meta-parameters; without a head where every task has a new one."""
        return self._adapt.params

    @property
    def shares_encoder(self) -> bool:
        """Whether tasks leave the encoder as it is."""
        return self._adapt.shares_encoder

    @property
    def takes_unlabelled(self) -> bool:
        """Whether tasks are learned from texts without labels, too."""
        return self._adapt.takes_unlabelled

    def learn(
        self,
        examples: data.Examples,
        names: Sequence[str],
        *,
        encoded: Encoded | None = None,
        weights: np.ndarray | None = None,
        unlabelled: Encoded | None = None,
        named: LabelTexts | None = None,
    ) -> LearnedTask:
        """Learns a task.

        Args:
          examples: the support set.
          names: class names in the order of the outputs, or the name of the number.
          encoded: features of the texts, where `shares_encoder` (default: encodes
            them).
          weights: `[S]`, how much each example counts; 0 leaves it out.
          unlabelled: features of texts without labels, where `takes_unlabelled`.
          named: names of the classes as further support examples (default: those that
            the config says to use, see `label_texts`).

        Returns:
          The task.

        Raises:
          ValueError: for fewer than two classes, or more than a trained output layer
            has; for texts without labels where the head takes none, or none where it
            does; for a class without a description.
        """
        if named is None:
            named = self.label_texts(names)
        check_unlabelled(
            self.takes_unlabelled, unlabelled is not None, self.config.algorithm.head
        )
        room = self._adapt.padded_classes(len(names))
        if self.shares_encoder:
            if encoded is None:
                encoded = self.encoder.encode(examples.texts)
            if named.inputs:
                encoded = encoded.followed_by(self._named_features(named.inputs))
            support = feature_support(encoded, self.task, examples, names, room, named)
            if unlabelled is not None:
                support = with_unlabelled(support, unlabelled)
        elif self.task.tokens is not None:
            support = token_support(self.encoder, self.task, examples, names, room)
        else:
            support = text_support(
                self.encoder, self.task, examples, names, room, named
            )
        if weights is not None:
            support.weights[: len(weights)] *= weights
        adapted = self._adapt(support, room)
        return LearnedTask(
            tuple(names),
            output_layer(adapted["head"], names, self.task),
            jax.tree.map(np.asarray, adapted["encoder"]),
            uses_label_names=bool(named.texts),
        )

    def label_texts(
        self,
        names: Sequence[str],
        source: NameSource | None = None,
        weight: float | None = None,
    ) -> LabelTexts:
        """Makes texts of the names of classes; without any for no use of names.

        Args:
          names: class names in the order of the outputs.
          source: as the setting `label_names`, or descriptions by class (default: that
            of the config).
          weight: weight of each beside a support example (default: that of the config).

        Raises:
          ValueError: if a class has no description, or a name is no input of the task
            type.
        """
        settings = self.config.data
        source = settings.label_names if source is None else source
        weight = settings.label_name_weight if weight is None else weight
        kind = source if isinstance(source, str | None) else "descriptions"
        check_label_names(
            dataclasses.replace(settings, label_names=kind, label_name_weight=weight),
            self.task,
        )
        as_input = self.task.form.of_name or str
        named = LabelTexts.of(names, source, weight, as_input)
        return LabelTexts((), weight) if named is None else named

    def choose_head(
        self,
        examples: data.Examples,
        names: Sequence[str],
        encoded: Encoded,
        named: LabelTexts | None = None,
    ) -> HeadChoice:
        """Chooses among heads by cross-validation on a support set.

        Args:
          examples: the support set.
          names: class names in the order of the outputs.
          encoded: features of the texts.
          named: names of the classes, as for `learn`.

        Raises:
          ValueError: if no head is fitted to fixed features of classes.
        """
        check_choosable(self.config.algorithm, self.task)
        to_arrays = target_kinds.of(self.task).to_arrays
        assert to_arrays is not None  # `check_choosable` refuses others.
        if named is None:
            named = self.label_texts(names)
        of_names = None
        if named.inputs:
            features = self._named_features(named.inputs).features
            of_names = NamedFeatures.of(features, named)
        return choose_head(
            encoded.features,
            to_arrays(examples, list(names), len(names)),
            self.config.algorithm,
            self.task,
            self.params.get("head"),
            of_names,
        )

    def calibration_of(self, learned: LearnedTask) -> Calibration | None:
        """Returns the run's calibration where it holds for a task, else None."""
        named = self.config.algorithm
        reason = why_uncalibrated(
            self.config,
            uses_label_names=learned.uses_label_names,
            other_head=None if self._adapt.has_head else named.head or named.name,
        )
        return self._calibration if reason is None else None

    def logits(self, learned: LearnedTask, encoded: Encoded) -> np.ndarray:
        """Applies the output layer of a task, `[U, N]`."""
        linear = target_kinds.of(self.task).linear
        return np.asarray(linear(learned.head, encoded.features))

    def probabilities(self, learned: LearnedTask, encoded: Encoded) -> np.ndarray:
        """Computes the calibrated probabilities of classes, `[U, N]`."""
        fitted = self.calibration_of(learned)
        temperature = 1.0 if fitted is None else fitted.temperature
        return metrics.softened(self.logits(learned, encoded), temperature)

    def predict(
        self,
        learned: LearnedTask,
        texts: Sequence[Any],
        encoded: Encoded | None = None,
        reject: float | None = None,
    ) -> list[dict[str, Any]]:
        """Predicts any number of texts.

        Args:
          learned: the task.
          texts: of the task type's form.
          encoded: their features with the encoder of the task (default: encodes them).
          reject: false-rejection rate, as that of `workflows.Predictor`.

        Returns:
          Records as those of `workflows.Predictor`, without the texts.

        Raises:
          ValueError: if there is no threshold to reject by.
        """
        if not texts:
            return []
        names = [*self.task.classes(learned.names), *self.task.others]
        if self.task.tokens is None:
            if encoded is None:
                encoded = self.encoder.encode(texts, learned.encoder)
            logits = self.logits(learned, encoded)
            calibration = self.calibration_of(learned)
            predictions = decode(logits, self.task, names, calibration, reject)
            coverage = encoded.coverage
        else:
            tokenized = self.encoder.tokenize(texts)
            outputs = token_outputs(self.encoder, learned, texts, tokenized)
            predictions = self.task.decode(outputs, names)
            coverage = coverage_of(tokenized)
        return [
            {**self.task.describe(text, prediction), "truncated": truncation(*row)}
            for text, prediction, row in zip(
                texts, predictions, coverage.tolist(), strict=True
            )
        ]

    def leave_one_out(
        self,
        examples: data.Examples,
        names: Sequence[str],
        encoded: Encoded | None = None,
    ) -> list[dict[str, Any]]:
        """Predicts each example by a task learned from all others.

        Raises:
          ValueError: if there are fewer than two examples.
        """
        if len(examples) < 2:
            raise ValueError(
                f"{len(examples)} example leaves none to learn from; give more."
            )
        if encoded is None and self.shares_encoder:
            encoded = self.encoder.encode(examples.texts)
        predictions = []
        for left_out, text in enumerate(examples.texts):
            weights = np.ones(len(examples), np.float32)
            weights[left_out] = 0
            learned = self.learn(examples, names, encoded=encoded, weights=weights)
            own = None if encoded is None else encoded.of([left_out])
            predictions += self.predict(learned, [text], own)
        return predictions
