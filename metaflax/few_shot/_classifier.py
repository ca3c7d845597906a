"""Few-shot text classification as a scikit-learn estimator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from metaflax import data, metrics, target_kinds, tasks
from metaflax.config._model_settings import PairEncoding
from metaflax.data.sources._label_texts import LabelTexts, NameSource
from metaflax.few_shot._estimator import sequence_of
from metaflax.few_shot._examples import texts_of
from metaflax.few_shot._pairs import TextOrPairEstimator
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.learning._learner import Learner


class FewShotClassifier(ClassifierMixin, TextOrPairEstimator):
    """Classifier of texts, or pairs of texts, that learns from a few examples a class.

    Texts are encoded by a pretrained or meta-trained encoder, which the process loads
    once for all estimators; if only the output layer adapts, features of texts are
    cached. Pickles refer to the model by its name or path and check its weights; `save`
    writes a self-contained directory.

    Args:
      model: run directory, directory or hub name of a pretrained encoder, or `minilm`.
      algorithm: name of an algorithm (default: the run's, or frozen).
      head: name of an output layer such as prototypes, ridge or logistic_regression, or
        auto, which chooses one by cross-validation on the texts of `fit`, see
        `head_choice_` (default: as auto below frozen pretrained weights, and
        centred_prototypes for pairs in two towers; else the algorithm's).
      strength: regularisation strength of closed-form heads such as ridge.
      temperature: scale of distances in heads such as prototypes.
      adapts: patterns of the parameter paths that inner steps adapt.
      num_steps: number of inner steps.
      inner_learning_rate: learning rate of inner steps.
      max_length: most tokens of a text; longer texts are truncated.
      batch_size: most texts in one call of the encoder.
      pair_encoding: encoding of pairs of texts, which X then holds: one_sequence (both
        in one sequence), two_towers (each by itself), both (the features of the two) or
        phrase (the second text is a phrase of the first). None for single texts.
      label_names: names of classes as further examples of them: `as_written` (names as
        words), descriptions by class, or a JSON file of these, with None for a class
        whose name says nothing; `none` for no use (default: the run's, or none).
      label_name_weight: weight of a name beside each example (default: the run's, or
        1).

    Attributes:
      classes_: the labels, sorted.
      support_texts_: the texts of `fit`.
      support_targets_: labels of these texts.
      unlabelled_texts_: the texts without labels of `fit`.
      head_choice_: choice of the head with cross-validation accuracies, None if none
        was made; `print` describes it.
      learned_: the output layer and the adapted leaves of the encoder.

    Examples:
      ::

        classifier = metaflax.FewShotClassifier()
        classifier.fit(["where is my parcel", "I want my money back"],
                       ["delivery", "refund"])
        classifier.predict(["it has not arrived"])  # array(['delivery'])

      >>> import pathlib, tempfile
      >>> import metaflax
      >>> from metaflax import workflows
      >>> texts, labels = ["it barks", "it purrs"], ["dog", "cat"]
      >>> sizes = {"vocab_size": 40, "width": 8, "layers": 1, "heads": 2}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     tiny = pathlib.Path(folder) / "tiny"  # Of random weights.
      ...     _ = workflows.new_language_model(tiny, texts, family="bert", **sizes)
      ...     classifier = metaflax.FewShotClassifier(str(tiny), max_length=16)
      ...     print(classifier.fit(texts, labels).predict(texts))
      ...     named = metaflax.FewShotClassifier(str(tiny), label_names="as_written")
      ...     print(named.fit(texts, labels).predict(texts))
      ['dog' 'cat']
      ['dog' 'cat']
      >>> pairs = metaflax.FewShotClassifier(pair_encoding="two_towers")
      >>> pairs.fit(["it barks", "it purrs"], ["same", "other"])
      Traceback (most recent call last):
        ...
      ValueError: X[0] is 'it barks'; with a pair_encoding give two texts a row.
      >>> metaflax.FewShotClassifier().fit(["it barks"], ["dog", "cat"])
      Traceback (most recent call last):
        ...
      ValueError: there are 1 texts and 2 targets; give each text one.
    """

    classes_: np.ndarray
    unlabelled_texts_: list[Any]
    _fit_parameters = ("label_names", "label_name_weight")

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
        pair_encoding: PairEncoding | None = None,
        label_names: NameSource | None = None,
        label_name_weight: float | None = None,
    ):
        super().__init__(
            model,
            algorithm=algorithm,
            head=head,
            strength=strength,
            temperature=temperature,
            adapts=adapts,
            num_steps=num_steps,
            inner_learning_rate=inner_learning_rate,
            max_length=max_length,
            batch_size=batch_size,
        )
        self.pair_encoding = pair_encoding
        self.label_names = label_names
        self.label_name_weight = label_name_weight

    @property
    def _task(self) -> str:
        return "classification" if self.pair_encoding is None else "pair_classification"

    def fit(self, X: Any, y: Any, unlabelled: Any = None) -> "FewShotClassifier":
        """Learns from texts and their labels.

        Args:
          X: texts; with a `pair_encoding` pairs of texts, as tuples, an array `[U, 2]`
            or a data frame of two columns.
          y: labels: strings, numbers or booleans.
          unlabelled: texts without labels, in the form of X, for heads that learn from
            them, soft_k_means and label_propagation. Predictions of the same texts are
            transductive.

        Returns:
          The estimator.

        Raises:
          ValueError: for invalid texts, labels or settings, such as fewer than two
            classes.
        """
        texts = [] if unlabelled is None else self._sequence(unlabelled)
        self._fit(self._sequence(X), sequence_of(y), texts)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "FewShotClassifier":
        """Learns from further examples and all earlier ones; new classes are allowed.

        Texts without labels are those of `fit`.

        Args:
          X: texts, or pairs of texts.
          y: their labels.
          classes: labels that are allowed (default: all).

        Returns:
          The estimator.

        Raises:
          ValueError: as `fit`, and for a label that is not in `classes`.
        """
        labels = sequence_of(y)
        if classes is not None and (extra := set(labels) - set(sequence_of(classes))):
            raise ValueError(
                f"the labels {sorted(map(str, extra))} are not in classes."
            )
        self._partial_fit(self._sequence(X), labels)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicts the label of each text, `[U]`."""
        check_is_fitted(self)
        numbers = {name: i for i, name in enumerate(_names(self.classes_))}
        rows = [numbers[record["label"]] for record in self._predictions(X)]
        return self.classes_[np.array(rows, int)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predicts the probabilities of `classes_`, `[U, N]`."""
        check_is_fitted(self)
        model = self._fitted_model()
        texts = texts_of(self._inputs(self._sequence(X)), model.task, "X")
        if isinstance(model, Predictor):
            return _probabilities(model, texts)
        encoded = self._encoded(model, texts)
        if encoded is None:
            encoded = model.encoder.encode(texts, self.learned_.encoder)
        return model.probabilities(self.learned_, encoded)

    def _fit(
        self, texts: list[Any], targets: list[Any], unlabelled: Any = None
    ) -> None:
        classes = _classes(targets)
        if unlabelled is None:
            unlabelled = getattr(self, "unlabelled_texts_", [])
        super()._fit(texts, targets, unlabelled)
        self.classes_, self.unlabelled_texts_ = classes, unlabelled

    def _names(self, targets: Sequence[Any], examples: data.Examples) -> list[str]:
        return _names(_classes(targets))

    def _named(self, learner: Learner, names: Sequence[str]) -> LabelTexts:
        source = self.label_names
        if isinstance(source, Mapping):
            keys = _names([*source])
            source = dict(zip(keys, source.values(), strict=True))
        return learner.label_texts(names, source, self.label_name_weight)

    def _plain_params(self) -> dict[str, Any]:
        params = super()._plain_params()
        if isinstance(params["label_names"], Path):
            params["label_names"] = str(params["label_names"])
        return params

    def _state(self) -> Any:
        return {"classes": self.classes_.tolist(), "unlabelled": self.unlabelled_texts_}

    def _restore(self, state: Any) -> None:
        if isinstance(state, list):  # Saved by an earlier version.
            state = {"classes": state, "unlabelled": []}
        self.classes_ = np.array(state["classes"])
        self.unlabelled_texts_ = state["unlabelled"]


def _probabilities(predictor: Predictor, texts: list[Any]) -> np.ndarray:
    """Computes the calibrated probabilities of a saved classifier, `[U, N]`."""
    linear = target_kinds.of(predictor.task).linear
    features = predictor.features(predictor.tokenize(texts))
    logits = np.asarray(linear(predictor.params[1], features))
    return metrics.softened(logits, predictor.temperature)


def _classes(targets: Sequence[Any]) -> np.ndarray:
    """Returns the distinct labels, sorted."""
    distinct = list(dict.fromkeys(targets))
    _names(distinct)
    return np.unique(np.array(distinct))


def _names(classes: Sequence[Any] | np.ndarray) -> list[str]:
    """Returns the class names of labels, as for labels in files.

    Raises:
      ValueError: if two labels have the same name.
    """
    labels = np.asarray(classes).tolist()
    names = [tasks.Fields({"y": label}, "y").name("y") for label in labels]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        alike = [
            label for label, name in zip(labels, names, strict=True) if name == twice
        ]
        raise ValueError(f"the labels {alike} have the same name; make them one.")
    return names
