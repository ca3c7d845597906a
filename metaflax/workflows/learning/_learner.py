"""A model in memory that learns many tasks from a few examples each."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import base, data, metrics, target_kinds
from metaflax import config as config_lib
from metaflax.config._check import check_label_names
from metaflax.data.sources._label_texts import LabelTexts, NameSource
from metaflax.workflows.learning._adaptation import Adaptation
from metaflax.workflows.learning._choosable_heads import (
    check_choosable,
    choosable_default,
)
from metaflax.workflows.learning._head_choice import HeadChoice, choose_head
from metaflax.workflows.learning._held_out_accuracy import NamedFeatures
from metaflax.workflows.learning._learned_task import LearnedTask, output_layer
from metaflax.workflows.learning._predictions import decode, token_outputs, truncation
from metaflax.workflows.learning._rejection import rejection_at
from metaflax.workflows.learning._support import (
    feature_support,
    text_support,
    token_support,
    with_unlabelled,
)
from metaflax.workflows.learning._text_encoder import Encoded, TextEncoder, coverage_of
from metaflax.workflows.runs._calibration import (
    Calibration,
    read_calibration,
    why_uncalibrated,
)
from metaflax.workflows.runs._protocol import check_unlabelled
from metaflax.workflows.runs._run_directory import RunDirectory


class Learner:
    """A pretrained or meta-trained encoder that learns tasks from examples in memory.

    If adaptation leaves the encoder unchanged, texts are encoded once and every task is
    an output layer on the same features, whose head may be chosen per task.

    Args:
      encoder: the encoder.
      params: meta-parameters `{"encoder": ..., "head": ...}`; the encoder's alone if no
        head was meta-trained.
      config: config of algorithm, model and texts.
      num_classes: number of classes of a trained head.
      run_dir: directory of the encoder's run, if any, whose calibration is used; model
        cards describe the run.
      chooses_head: whether the head of each task is chosen on its examples.
      new_head: whether tasks have a new head in place of the meta-trained one.

    Attributes:
      encoder: the encoder.
      config: the config.
      run_dir: directory of the encoder's run, if any.
      task: the task type.
      chooses_head: whether the head of each task is chosen on its examples.

    Raises:
      ValueError: for a task type that generates texts, a head that is not a linear
        layer, or a choice of heads for a task without heads on fixed features.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        params: Mapping[str, Any],
        config: config_lib.Config,
        num_classes: int,
        run_dir: Path | None = None,
        *,
        chooses_head: bool = False,
        new_head: bool = False,
    ):
        self.encoder, self.config, self.run_dir = encoder, config, run_dir
        self.chooses_head = chooses_head
        run = None if run_dir is None else RunDirectory(run_dir)
        self._run_config = config if run is None else run.config()
        self._calibration = None if run is None else read_calibration(run)
        self._trained_params, self._num_classes = params, num_classes
        if new_head:
            params = {"encoder": params["encoder"]}
        self.task = task = config_lib.build_task(config)
        if task.texts is not None:
            raise ValueError(
                f"{config.data.task} generates texts, which is learned by `metaflax"
                " adapt`; name a task type of encoders."
            )
        algorithm, seed = config.algorithm, config.training.seed
        if chooses_head:
            check_choosable(algorithm, task)
            algorithm = choosable_default(algorithm, encoder.num_features, task)
            if algorithm != config.algorithm:
                params = {"encoder": params["encoder"]}
        self._adapt = Adaptation(encoder, params, algorithm, task, num_classes, seed)

        @functools.cache
        def adaptation_with(
            name: str, settings: tuple[tuple[str, float], ...]
        ) -> Adaptation:
            choice = HeadChoice(name, dict(settings))
            return Adaptation(
                encoder,
                {"encoder": params["encoder"]},
                choice.applied(config.algorithm),
                task,
                num_classes,
                seed,
            )

        self._adaptation_with = adaptation_with
        # Names of classes are encoded repeatedly.
        self._named_features = functools.lru_cache(maxsize=32)(encoder.encode)

    @property
    def params(self) -> Mapping[str, Any]:
        """Meta-parameters; without a head if every task has a new one."""
        return self._adapt.params

    @property
    def shares_encoder(self) -> bool:
        """True if adaptation leaves the encoder unchanged."""
        return self._adapt.shares_encoder

    @property
    def takes_unlabelled(self) -> bool:
        """True if tasks are also learned from texts without labels."""
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
        choice: HeadChoice | None = None,
    ) -> LearnedTask:
        """Learns a task.

        Args:
          examples: the support set.
          names: class names in the order of the outputs, or the name of the numeric
            target.
          encoded: features of the texts, if `shares_encoder` (default: encodes the
            texts).
          weights: `[S]`, weight of each example; 0 leaves it out.
          unlabelled: features of texts without labels, if `takes_unlabelled`.
          named: names of the classes as further support examples (default: by the
            config, see `label_texts`).
          choice: choice of the head (default: made on the examples, if
            `chooses_head`).

        Returns:
          The learned task.

        Raises:
          ValueError: for fewer than two classes, or more than a trained output layer
            has; for texts without labels if the head takes none, or no such texts if it
            does; for a class without a description.
        """
        if named is None:
            named = self.label_texts(names)
        check_unlabelled(
            self.takes_unlabelled, unlabelled is not None, self.config.algorithm.head
        )
        if self.shares_encoder and encoded is None:
            encoded = self.encoder.encode(examples.texts)
        if choice is None and self.chooses_head:
            assert encoded is not None  # Heads are chosen where the encoder stays.
            rows = (
                np.arange(len(examples)) if weights is None else np.nonzero(weights)[0]
            )
            choice = self.choose_head(
                examples.select(rows), names, encoded.of(rows), named
            )
        adapt = self._adaptation(choice)
        room = adapt.padded_classes(len(names), examples.name)
        support = self._support(examples, names, room, encoded, named)
        if unlabelled is not None:
            support = with_unlabelled(support, unlabelled)
        if weights is not None:
            support.weights[: len(weights)] *= weights
        adapted = adapt(support, room)
        return LearnedTask(
            tuple(names),
            output_layer(adapted["head"], names, self.task),
            jax.tree.map(np.asarray, adapted["encoder"]),
            uses_label_names=bool(named.texts),
            choice=choice,
        )

    def _adaptation(self, choice: HeadChoice | None) -> Adaptation:
        """Returns the adaptation with the chosen head, or with the default one."""
        if choice is None or choice.is_default:
            return self._adapt
        return self._adaptation_with(choice.name, tuple(choice.settings.items()))

    def _support(
        self,
        examples: data.Examples,
        names: Sequence[str],
        room: int,
        encoded: Encoded | None,
        named: LabelTexts,
    ) -> base.Batch:
        """Makes a padded support set of features, or of tokens if there are none."""
        if encoded is not None:
            if named.inputs:
                encoded = encoded.followed_by(self._named_features(named.inputs))
            return feature_support(encoded, self.task, examples, names, room, named)
        if self.task.tokens is not None:
            return token_support(self.encoder, self.task, examples, names, room)
        return text_support(self.encoder, self.task, examples, names, room, named)

    def label_texts(
        self,
        names: Sequence[str],
        source: NameSource | None = None,
        weight: float | None = None,
    ) -> LabelTexts:
        """Makes texts of the class names; empty if names are not used.

        Args:
          names: class names in the order of the outputs.
          source: value of the setting `label_names`, or descriptions by class (default:
            the config's).
          weight: weight of each, relative to a support example (default: the config's).

        Raises:
          ValueError: if a class has no description, or a name is not an input of the
            task type.
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
          ValueError: if the task has no heads on fixed features of classes.
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

    def with_algorithm(
        self,
        algorithm: config_lib.AlgorithmConfig,
        *,
        new_head: bool,
        chooses_head: bool = False,
    ) -> "Learner":
        """Returns a learner on the same encoder, with a new head or the trained one.

        Args:
          algorithm: its algorithm.
          new_head: whether its head is new.
          chooses_head: whether the head of each task is chosen on its examples.

        Raises:
          ValueError: if the algorithm or its head is unknown, or unfit.
        """
        return Learner(
            self.encoder,
            self._trained_params,
            dataclasses.replace(self.config, algorithm=algorithm),
            self._num_classes,
            self.run_dir,
            new_head=new_head,
            chooses_head=chooses_head,
        )

    def config_of(self, learned: LearnedTask) -> config_lib.Config:
        """Returns the config with the head of a task."""
        if learned.choice is None:
            return self.config
        algorithm = learned.choice.applied(self.config.algorithm)
        return dataclasses.replace(self.config, algorithm=algorithm)

    def calibration_of(self, learned: LearnedTask) -> Calibration | None:
        """Returns the run's calibration if it holds for a task, else None."""
        return self._calibration if self.why_uncalibrated(learned) is None else None

    def why_uncalibrated(self, learned: LearnedTask) -> str | None:
        """Returns the reason why the run's calibration does not hold for a task."""
        config, adapt = self.config_of(learned), self._adaptation(learned.choice)
        algorithm = config.algorithm
        return why_uncalibrated(
            self._run_config,
            algorithm,
            uses_label_names=learned.uses_label_names,
            other_head=None if adapt.has_head else algorithm.head or algorithm.name,
        )

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
          texts: texts in the task type's form.
          encoded: their features with the encoder of the task (default: encodes them).
          reject: false-rejection rate, see `workflows.Predictor`.

        Returns:
          Records as of `workflows.Predictor`, without the texts.

        Raises:
          ValueError: if there is no threshold for rejection.
        """
        if not texts:
            return []
        names = [*self.task.classes(learned.names), *self.task.others]
        if self.task.tokens is None:
            if encoded is None:
                encoded = self.encoder.encode(texts, learned.encoder)
            logits = self.logits(learned, encoded)
            calibration = self.calibration_of(learned)
            rejection = rejection_at(reject, calibration, len(names))
            predictions = decode(logits, self.task, names, calibration, rejection)
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
