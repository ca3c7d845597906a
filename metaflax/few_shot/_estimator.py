"""Base class of the scikit-learn estimators."""

import abc
import dataclasses
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from metaflax import data
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.few_shot._examples import examples_of, texts_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import Version, load_learner, load_source, version_of
from metaflax.workflows.inference._predict import predict_all
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.inference._saved_task import save_task
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded
from metaflax.workflows.runs._protocol import check_unlabelled

# File of settings and targets in a saved estimator.
ESTIMATOR = "estimator.json"


class FewShotEstimator(BaseEstimator, abc.ABC):
    """Base of the estimators: settings, support set, saving and loading.

    Attributes:
      support_texts_: the texts of `fit`.
      support_targets_: targets of these texts.
      head_choice_: choice of the head, if `head` is `auto` or not set on a frozen
        pretrained encoder; else None.
    """

    _task: Any  # Name of the task type.
    # Parameters that `fit` uses; all others are fields of `LearnerSettings`.
    _fit_parameters: tuple[str, ...] = ()
    head_choice_: HeadChoice | None = None
    saved_version_: Version | None = None  # Version of the directory at `load`.

    def __init__(
        self,
        model: str | Path = "minilm",
        *,
        algorithm: str | None = None,
        head: str | None = None,
        strength: float | None = None,
        temperature: float | None = None,
        adapts: Sequence[str] | None = None,
        num_steps: int | None = None,
        inner_learning_rate: float | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
    ):
        # By scikit-learn's convention stored unchanged, and checked by `fit`.
        self.model = model
        self.algorithm = algorithm
        self.head = head
        self.strength = strength
        self.temperature = temperature
        self.adapts = adapts
        self.num_steps = num_steps
        self.inner_learning_rate = inner_learning_rate
        self.max_length = max_length
        self.batch_size = batch_size

    def save(self, directory: str | Path) -> None:
        """Writes a directory in Hugging Face's format, for `load` and `metaflax.load`.

        Args:
          directory: directory to write, which must not exist or be empty.

        Raises:
          ValueError: if the directory is not empty, the model has changed since `fit`,
            or the format cannot express the encoder.
        """
        check_is_fitted(self)
        if self._saved is not None:
            raise ValueError(
                f"this estimator was loaded from {self._saved} and is unchanged; copy"
                " that directory."
            )
        content = {
            "estimator": type(self).__name__,
            "params": self._plain_params(),
            "state": self._state(),
            "choice": None if (c := self.head_choice_) is None else c._asdict(),
            "texts": [_plain(text) for text in self.support_texts_],
            "targets": [_plain(target) for target in self.support_targets_],
        }
        notes = {ESTIMATOR: json.dumps(content, ensure_ascii=False, indent=1) + "\n"}
        learner = self._fitted_learner()
        examples = self._examples(learner)
        save_task(
            learner,
            self.learned_,
            directory,
            examples,
            num_unlabelled=len(getattr(self, "unlabelled_texts_", [])),
            notes=notes,
        )

    @classmethod
    def load(cls, directory: str | Path) -> Any:
        """Loads an estimator that `save` wrote.

        Predictions need only the directory. `fit` and `partial_fit` start from the
        model that the estimator was constructed with.

        Args:
          directory: directory of a saved estimator.

        Returns:
          The fitted estimator.

        Raises:
          ValueError: if the directory holds no estimator of this class.
        """
        path = Path(directory).expanduser().absolute() / ESTIMATOR
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind = content["estimator"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{directory} holds no saved estimator ({error}); name a directory that"
                " `save` wrote, or pass one of `metaflax adapt` to `metaflax.load`."
            ) from None
        if kind != cls.__name__:
            raise ValueError(
                f"{directory} holds a {kind}; load it with metaflax.{kind}."
            )
        estimator = cls(**content["params"])
        estimator._restore(content["state"])
        if (choice := content.get("choice")) is not None:  # Earlier versions lack it.
            estimator.head_choice_ = HeadChoice(**choice)
        estimator.support_texts_ = content["texts"]
        estimator.support_targets_ = content["targets"]
        estimator.saved_ = str(path.parent)
        estimator.saved_version_ = version_of(estimator.saved_)
        return estimator

    def __sklearn_tags__(self):
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "support_texts_")

    @property
    def _saved(self) -> str | None:
        return getattr(self, "saved_", None)

    def _fit(
        self, texts: list[Any], targets: list[Any], unlabelled: Any = None
    ) -> None:
        """Learns a task from examples, and from texts without labels."""
        if len(texts) != len(targets):
            raise ValueError(
                f"there are {len(texts)} texts and {len(targets)} targets; give each"
                " text one."
            )
        learner = self._learner()
        examples = examples_of(self._rows(texts, targets), learner.task, "X, y")
        names = self._names(targets, examples)
        self.learned_ = learner.learn(
            examples,
            names,
            encoded=self._encoded(learner, examples.texts),
            unlabelled=self._encoded_unlabelled(learner, unlabelled),
            named=self._named(learner, names),
        )
        self.support_texts_, self.support_targets_ = texts, targets
        self.head_choice_ = self.learned_.choice
        self.encoder_digest_ = learner.encoder.digest
        self.saved_ = None

    def _partial_fit(self, texts: list[Any], targets: list[Any]) -> None:
        """Learns from these examples and all earlier ones."""
        if self.__sklearn_is_fitted__():
            texts = [*self.support_texts_, *texts]
            targets = [*self.support_targets_, *targets]
        self._fit(texts, targets)

    def _predictions(self, texts: Any) -> list[dict[str, Any]]:
        """Returns the record of each text."""
        check_is_fitted(self)
        given = self._sequence(texts)
        model = self._fitted_model()
        inputs = texts_of(self._inputs(given), model.task, "X")
        if isinstance(model, Predictor):
            return predict_all(model, inputs)
        encoded = self._encoded(model, inputs)
        return model.predict(self.learned_, inputs, encoded)

    def _features(self, texts: list[Any]) -> np.ndarray:
        """Encodes texts, with the adapted encoder if inner steps adapt it."""
        if self._saved is not None:
            raise ValueError(
                f"this estimator was loaded from {self._saved}, which has its"
                " predictions only; fit it to encode texts."
            )
        is_fitted = self.__sklearn_is_fitted__()
        learner = self._fitted_learner() if is_fitted else self._learner()
        inputs = texts_of(self._inputs(texts), learner.task, "X")
        if (shared := self._encoded(learner, inputs)) is not None:
            return shared.features
        check_is_fitted(self)
        return learner.encoder.encode(inputs, self.learned_.encoder).features

    def _fitted_model(self) -> Learner | Predictor:
        """Returns the learner of `fit`, or the predictor of a loaded estimator."""
        if self._saved is None:
            return self._fitted_learner()
        version = version_of(self._saved)
        if version != self.saved_version_:
            raise ValueError(
                f"{self._saved} has changed since this estimator was loaded; load it"
                " again."
            )
        return _predictor(self._saved, self.batch_size, version)

    def _fitted_learner(self) -> Learner:
        """Returns the learner, whose weights are those of `fit`."""
        learner = self._learner()
        if learner.encoder.digest != self.encoder_digest_:
            raise ValueError(
                f"the model {self.model} has changed since this estimator was fitted;"
                " fit it again, or use `save` and `load`, which keep the weights."
            )
        return learner

    def _encoded(self, learner: Learner, texts: Sequence[Any]):
        if not learner.shares_encoder:
            return None
        return load_source(self._settings()).features.encode(texts)

    def _encoded_unlabelled(self, learner: Learner, texts: Any) -> Encoded | None:
        if not texts:
            return None
        check_unlabelled(learner.takes_unlabelled, True, learner.config.algorithm.head)
        inputs = texts_of(self._inputs(texts), learner.task, "unlabelled")
        return load_source(self._settings()).features.encode(inputs)

    def _named(self, learner: Learner, names: Sequence[str]) -> LabelTexts:
        """Makes texts of the class names; empty if names are not used."""
        return learner.label_texts(names)

    def _examples(self, learner: Learner) -> data.Examples:
        rows = self._rows(self.support_texts_, self.support_targets_)
        return examples_of(rows, learner.task, "X, y")

    def _learner(self) -> Learner:
        return load_learner(self._settings())

    def _settings(self) -> LearnerSettings:
        params = self._plain_params()
        params = {n: v for n, v in params.items() if n not in self._fit_parameters}
        if isinstance(params.get("adapts"), list):  # A list cannot be hashed.
            params["adapts"] = tuple(params["adapts"])
        known = {field.name for field in dataclasses.fields(LearnerSettings)}
        if unknown := sorted(set(params) - known):
            raise TypeError(
                f"{type(self).__name__} has the parameter {unknown[0]!r}, which is no"
                " setting of a model; add it to `_fit_parameters` of the class if `fit`"
                " uses it, or remove it."
            )
        return LearnerSettings(task=self._task, **params)

    def _plain_params(self) -> dict[str, Any]:
        params = {name: _plain(v) for name, v in self.get_params(deep=False).items()}
        return {**params, "model": str(self.model)}

    # Methods that differ by target kind.

    def _rows(self, texts: Sequence[Any], targets: Sequence[Any]) -> list[dict]:
        """Makes rows with the columns of a file."""
        inputs = self._inputs(texts)
        return [
            {**row, "label": target}
            for row, target in zip(inputs, targets, strict=True)
        ]

    def _sequence(self, values: Any) -> list[Any]:
        """Lists the inputs of a sequence."""
        return sequence_of(values)

    def _inputs(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """Makes the input columns of rows."""
        return [{"text": _plain(text)} for text in texts]

    @abc.abstractmethod
    def _names(self, targets: Sequence[Any], examples: data.Examples) -> list[str]:
        """Lists class names in the order of the outputs."""

    def _state(self) -> Any:
        """Returns the state for `_restore` other than the support set, as JSON."""
        return None

    def _restore(self, state: Any) -> None:
        """Restores the result of `_state`."""
        del state


@functools.lru_cache(maxsize=4)
def _predictor(directory: str, batch_size: int, version: Version) -> Predictor:
    del version  # A key of the cache: contents of a directory may change.
    return Predictor(directory, batch_size)


def sequence_of(values: Any) -> list[Any]:
    """Lists the values of a sequence, an array or a column of a data frame.

    Raises:
      ValueError: for a string, or an array of more than one axis.

    Examples:
      >>> sequence_of(np.array(["it barks", "it purrs"]))
      ['it barks', 'it purrs']
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{values!r:.40} is no sequence; give a list.")
    shape = getattr(values, "shape", ())
    if len(shape) > 1:
        raise ValueError(f"an array of shape {shape} has columns; give one of texts.")
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Converts NumPy scalars and arrays to Python scalars and lists."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value
