"""A model in memory that learns many tasks from a few examples each."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, data, metrics, models, target_kinds
from metaflax import config as config_lib
from metaflax.config._check import check_label_names
from metaflax.config._factories import build_algorithm, build_head
from metaflax.data.sources._label_texts import LabelTexts, NameSource
from metaflax.few_shot._support import (
    feature_support,
    power_of_two,
    text_support,
    token_support,
    with_unlabelled,
)
from metaflax.few_shot._text_encoder import Encoded, TextEncoder, coverage_of
from metaflax.tasks._token_level import TokenOutputs
from metaflax.tree._paths import is_empty
from metaflax.workflows.inference._head_choice import (
    HeadChoice,
    NamedFeatures,
    check_choosable,
    choose_head,
)
from metaflax.workflows.inference._model_card import CARD, adapted_card
from metaflax.workflows.inference._rejection import Rejection, with_raw_scores
from metaflax.workflows.inference._saved_model import save_adapted, shown_support
from metaflax.workflows.runs._calibration import Calibration, why_uncalibrated
from metaflax.workflows.runs._encoder_scorers import reading_features
from metaflax.workflows.runs._protocol import check_unlabelled, used_record
from metaflax.workflows.runs._token_outputs import reading

# Logit of a class without examples.
ABSENT = float(np.finfo(np.float32).min) / 2
# Classes are padded to powers of two from this on, so that tasks of different size
# share a compiled adaptation.
LEAST_CLASSES = 2


class LearnedTask(NamedTuple):
    """What a task's examples made of a model.

    Attributes:
      names: class names, or the name of the number.
      head: output layer, a `kernel` `[D, N]` and a `bias` `[N]`.
      encoder: leaves of the encoder that were adapted; empty where none was.
      uses_label_names: whether names of classes were support examples.
    """

    names: tuple[str, ...]
    head: Mapping[str, np.ndarray]
    encoder: Any = None
    uses_label_names: bool = False

    @property
    def shares_encoder(self) -> bool:
        """Whether the encoder is the learner's, as that of other tasks."""
        return is_empty(self.encoder)


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
      shares_encoder: whether tasks leave the encoder as it is.

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
        self._params, self._num_classes = params, num_classes
        self.task = task = config_lib.build_task(config)
        if task.texts is not None:
            raise ValueError(
                f"{config.data.task} generates texts, which is learned by `metaflax"
                " adapt`; name a task type of encoders."
            )
        self._head = build_head(
            config.algorithm, encoder.num_features, task, LEAST_CLASSES
        )
        if not self._head.is_linear:
            raise ValueError(
                f"the head of {config.algorithm.name} is no linear layer; take an"
                " algorithm or head with one, such as prototypes, ridge or"
                " logistic_regression."
            )
        # Each is compiled once per shape, and shared by all tasks.
        self._algorithms = functools.cache(self._algorithm)
        self._meta_params = functools.cache(self._new_params)
        self._adapting = functools.cache(
            lambda room: jax.jit(self._algorithms(room, self.shares_encoder).adapt)
        )
        self.shares_encoder = task.tokens is None and self._leaves_encoder()
        # Names of classes occur again and again.
        self._named_features = functools.lru_cache(maxsize=32)(encoder.encode)

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
        room = self._padded_classes(len(names))
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
        adapted, _ = self._adapting(room)(self._meta_params(room), support)
        return LearnedTask(
            tuple(names),
            self._output_layer(adapted["head"], names),
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
            self._params.get("head"),
            of_names,
        )

    @property
    def takes_unlabelled(self) -> bool:
        """Whether tasks are learned from texts without labels, too."""
        return self._head.takes_unlabelled

    def calibration_of(self, learned: LearnedTask) -> Calibration | None:
        """Returns the run's calibration where it holds for a task, else None."""
        named = self.config.algorithm
        reason = why_uncalibrated(
            self.config,
            uses_label_names=learned.uses_label_names,
            other_head=None if self._has_head else named.head or named.name,
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
            logits, fitted = self.logits(learned, encoded), self.calibration_of(learned)
            predictions = self._decoded(logits, names, fitted, reject)
            coverage = encoded.coverage
        else:
            tokenized = self.encoder.tokenize(texts)
            outputs = self._token_outputs(learned, texts, tokenized)
            predictions = self.task.decode(outputs, names)
            coverage = coverage_of(tokenized)
        return [
            {**self.task.describe(text, prediction), "truncated": _truncation(*row)}
            for text, prediction, row in zip(
                texts, predictions, coverage.tolist(), strict=True
            )
        ]

    def _decoded(
        self,
        logits: np.ndarray,
        names: list[str],
        fitted: Calibration | None,
        reject: float | None,
    ) -> list[dict[str, Any]]:
        """Makes predictions of logits, at the temperature, and rejects some of them."""
        if fitted is None:
            if reject is not None:
                raise ValueError(
                    "there is no threshold to reject texts by, which a run fits on"
                    " meta-validation; name a run, or leave the rejection out."
                )
            return self.task.decode(self.task.outputs(logits), names)
        outputs = self.task.outputs(logits / np.float32(fitted.temperature))
        predictions = self.task.decode(outputs, names)
        predictions = with_raw_scores(predictions, logits, names)
        if reject is None:
            return predictions
        return Rejection(fitted, reject, len(names))(predictions, logits)

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

    def save(
        self,
        directory: str | Path,
        learned: LearnedTask,
        examples: data.Examples,
        notes: Mapping[str, str] | None = None,
        choice: HeadChoice | None = None,
        used: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a task as `metaflax adapt` does, for `metaflax.load`.

        Args:
          directory: which must not exist yet, or be empty.
          learned: the task.
          examples: its support set, written for explanations.
          notes: texts of further files, by their names.
          choice: how the head was chosen, if it was.
          used: what it was learned from beside labelled texts, of `used_record`
            (default: no texts without labels).

        Raises:
          ValueError: if the directory holds anything, or the format cannot express the
            encoder.
        """
        target = Path(directory).expanduser()
        calibration = self.calibration_of(learned)
        used = used or used_record(0, learned.uses_label_names)
        card = adapted_card(
            target,
            self.config,
            learned.names,
            examples,
            model=self.encoder.model.pretrained.directory,
            run_dir=self.run_dir,
            calibration=calibration,
            max_length=self.encoder.max_length,
            used=used,
        )
        save_adapted(
            target,
            self.encoder.model,
            self._params,
            {"encoder": learned.encoder, "head": learned.head},
            list(learned.names),
            self.config,
            self.task,
            notes={CARD: card, **shown_support(examples), **(notes or {})},
            calibration=calibration,
            choice=choice,
            used=used,
        )

    def _token_outputs(
        self,
        learned: LearnedTask,
        texts: Sequence[Any],
        tokenized: data.TokenizedTexts,
    ) -> TokenOutputs:
        longest = int(tokenized.lengths.max())
        num_outputs = len(learned.head["bias"])
        logits = np.zeros((len(tokenized), longest, num_outputs), np.float32)
        for rows, features in self.encoder.in_batches(tokenized, learned.encoder):
            chunk = features[:, :longest] @ learned.head["kernel"]  # [R, L, N]
            logits[rows, : chunk.shape[1]] = chunk + learned.head["bias"]
        return reading(texts, np.arange(len(texts)), tokenized, logits)

    def _padded_classes(self, num_names: int) -> int:
        """Returns the number of classes of the head: padded, or as it was trained.

        Raises:
          ValueError: if there are too few or too many.
        """
        kind, of_tokens = target_kinds.of(self.task), self.task.tokens is not None
        if not kind.has_classes and not of_tokens:
            return num_names
        if num_names < 2 and kind.single_label:
            raise ValueError(
                f"the examples have {num_names} class; give examples of at least two."
            )
        if not self._head.per_class:
            return num_names if of_tokens else power_of_two(num_names, LEAST_CLASSES)
        if not self._has_head:
            return num_names
        if num_names > self._num_classes:
            raise ValueError(
                f"the examples have {num_names} classes, and the output layer was"
                f" meta-trained for {self._num_classes}; use a run of protonet or"
                " proto_maml, whose heads take any number, or train with a larger way."
            )
        return self._num_classes

    @property
    def _has_head(self) -> bool:
        """Whether the output layer was meta-trained."""
        return "head" in self._params

    def _new_params(self, room: int) -> Any:
        """Returns the meta-parameters, with a new head unless one was trained."""
        if self._has_head:
            return self._params
        fresh: Any = self._algorithms(room, False).init(jax.random.key(0))
        return {**fresh, **self._params}

    def _algorithm(self, room: int, on_features: bool) -> base.MetaAlgorithm:
        encoder = self.encoder.model.encoder
        if on_features:
            encoder = reading_features(encoder)
        settings = self.config.algorithm
        return build_algorithm(
            settings,
            encoder,
            lambda key: self._params["encoder"],
            self.task,
            room,
            num_steps=settings.eval_num_steps,
        )

    def _leaves_encoder(self) -> bool:
        """Whether adaptation changes no leaf of the encoder."""
        kind, room = target_kinds.of(self.task), LEAST_CLASSES
        if self._has_head and self._head.per_class:
            room = self._num_classes
        ids = np.zeros((2, 4), np.int32)
        marks = ids[:, : self.task.form.num_marks]
        tokens = models.Tokens(ids, None, np.ones_like(ids), None, marks)
        shape = (2, room) if kind.has_classes and not kind.single_label else (2,)
        targets = np.zeros(shape, np.int32 if kind.single_label else np.float32)
        support = base.Batch(tokens, targets, np.ones(2, np.float32))
        adapt = self._algorithms(room, False).adapt
        adapted, _ = jax.eval_shape(adapt, self._meta_params(room), support)
        return is_empty(adapted["encoder"])

    def _output_layer(
        self, head: Mapping[str, Any], names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a task's classes, without padding."""
        room, num_classes = len(head["bias"]), len(self.task.classes(names))
        kept = [*range(num_classes), *range(room - len(self.task.others), room)]
        kernel, bias = np.asarray(head["kernel"]), np.asarray(head["bias"])
        if "mask" in head:
            bias = np.where(np.asarray(head["mask"]), bias, np.float32(ABSENT))
        return {"kernel": kernel[:, kept], "bias": bias[kept]}


def _truncation(read: int, total: int) -> dict[str, int] | None:
    return {"tokens_read": read, "tokens_total": total} if read < total else None
