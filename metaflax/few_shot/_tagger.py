"""Few-shot named entity recognition as a scikit-learn estimator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaflax import data
from metaflax.config._algorithm_settings import EntityTyping
from metaflax.few_shot._estimator import FewShotEstimator, sequence_of
from metaflax.few_shot._examples import examples_of


class FewShotTagger(FewShotEstimator):
    """Tagger of entities that learns from a few texts with entities.

    A text is a list of words with BIO tags, or a string with a list of entities, which
    are objects with `type` and the character offsets `start` and `end`. Predictions
    have the form of the text: tags for words, entities for a string.

    Args:
      model: run directory, directory or hub name of a pretrained encoder, or `minilm`.
      algorithm: name of an algorithm (default: the run's, or frozen).
      head: name of an output layer (default: the algorithm's).
      strength: regularisation strength of closed-form heads such as ridge.
      temperature: scale of distances in heads such as prototypes.
      adapts: patterns of the parameter paths that inner steps adapt.
      num_steps: number of inner steps.
      inner_learning_rate: learning rate of inner steps.
      max_length: most tokens of a text; longer texts are truncated.
      batch_size: most texts in one call of the encoder.
      capitals: whether features of a word tell whether it begins with a capital, which
        tokenizers of uncased models lose (default: the run's, or no).
      entity_typing: typing of each word by itself (words), or of neighbouring words of
        entities together (spans) (default: the run's, or words).
      entity_threshold: log-odds of being in an entity that a word must exceed, where
        spans are typed (default: the run's, or 0).

    Attributes:
      support_texts_: the texts of `fit`.
      support_targets_: tags or entities of these texts.
      learned_: the output layer and the adapted leaves of the encoder.

    Examples:
      ::

        tagger = metaflax.FewShotTagger()
        tagger.fit([["fly", "to", "Rome"], ["leave", "Paris"]],
                   [["O", "O", "B-city"], ["O", "B-city"]])
        tagger.predict([["back", "from", "London"]])  # [["O", "O", "B-city"]]

      >>> import metaflax
      >>> tagger = metaflax.FewShotTagger()
      >>> tagger.fit([["fly", "to", "Rome"]], [["O", "O"]])
      Traceback (most recent call last):
        ...
      ValueError: X, y[0]: 'label' is wrong: there are 3 words and 2 tags; give a ...
    """

    _task = "entities"

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
        capitals: bool | None = None,
        entity_typing: EntityTyping | None = None,
        entity_threshold: float | None = None,
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
        self.capitals = capitals
        self.entity_typing = entity_typing
        self.entity_threshold = entity_threshold

    def fit(self, X: Any, y: Any) -> "FewShotTagger":
        """Learns from texts and their tags or entities.

        Args:
          X: lists of words, or strings.
          y: a list of tags for each list of words, of entities for each string.

        Returns:
          The estimator.

        Raises:
          ValueError: for invalid texts, tags or settings.
        """
        self._fit(sequence_of(X), sequence_of(y))
        return self

    def partial_fit(self, X: Any, y: Any) -> "FewShotTagger":
        """Learns from further examples and all earlier ones; new types are allowed."""
        self._partial_fit(sequence_of(X), sequence_of(y))
        return self

    def predict(self, X: Any) -> list[list[Any]]:
        """Predicts the tags or entities of each text."""
        texts = sequence_of(X)
        return [
            record["entities"]
            if isinstance(text, str)
            else tags_of(list(text), record["entities"])
            for text, record in zip(texts, self._predictions(texts), strict=True)
        ]

    def score(self, X: Any, y: Any) -> float:
        """Computes the F1 of entities, over all texts together."""
        texts = sequence_of(X)
        predictions, task = self._predictions(texts), self._fitted_model().task
        gold = examples_of(self._rows(texts, sequence_of(y)), task, "X, y")
        assert task.tokens is not None
        scores = task.tokens.score(predictions, gold.targets or ())
        return scores["f1"]

    def _inputs(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {"text": text} if isinstance(text, str) else {"tokens": list(text)}
            for text in texts
        ]

    def _names(self, targets: Sequence[Any], examples: data.Examples) -> list[str]:
        if not examples.label_names:
            raise ValueError("no example has an entity; give some with entities.")
        return list(examples.label_names)


def tags_of(words: Sequence[str], entities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Converts entities of words joined by spaces to BIO tags.

    Examples:
      >>> tags_of(["in", "New", "York"], [{"start": 3, "end": 11, "type": "city"}])
      ['O', 'B-city', 'I-city']
    """
    tags, start = [], 0
    for word in words:
        inside = [e for e in entities if e["start"] <= start < e["end"]]
        part = "B" if inside and inside[0]["start"] == start else "I"
        tags.append(f"{part}-{inside[0]['type']}" if inside else "O")
        start += len(word) + 1
    return tags
