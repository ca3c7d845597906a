"""Relation extraction: the entities of a text and the relations between them."""

import itertools
from pathlib import Path
from typing import Any

from metaflax import tasks
from metaflax.tasks._mentions import Mention
from metaflax.tasks._relations import NONE
from metaflax.tasks._sentences import SENTENCE
from metaflax.workflows.inference._given_inputs import inputs_of
from metaflax.workflows.inference._predict import predict_all
from metaflax.workflows.inference._predictor import Predictor


class TripleFinder:
    """Pipeline of an entity tagger and a relation classifier.

    Each pair of entities that the tagger finds is classified in both directions, and
    the more probable one is kept, unless it is the class of no relation.

    Args:
      entities: directory that `adapt` wrote for the task type entities.
      relations: directory that `adapt` wrote for the task type relations.
      batch_size: as for `Predictor`, of texts and of pairs of entities.
      threshold: smallest probability of a relation that makes a triple.

    Attributes:
      form: the form of its input texts.
      batch_size: number of texts of a batch.

    Raises:
      ValueError: if either directory is for another task type, or `threshold` is not a
        probability.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.TripleFinder("people", "jobs", threshold=50)
      Traceback (most recent call last):
        ...
      ValueError: threshold is 50; give a probability from 0 to 1.
    """

    def __init__(
        self,
        entities: str | Path,
        relations: str | Path,
        batch_size: int = 32,
        *,
        threshold: float = 0.5,
    ):
        if not 0 <= threshold <= 1:
            raise ValueError(
                f"threshold is {threshold}; give a probability from 0 to 1."
            )
        self._entities = Predictor(entities, batch_size)
        self._relations = Predictor(relations, batch_size)
        _check_form(entities, self._entities, SENTENCE, "entities")
        _check_form(relations, self._relations, tasks.MENTION, "relations")
        self._threshold = threshold
        self.form = self._entities.form
        self.batch_size = batch_size

    def notes(self) -> list[str]:
        """Returns sentences about the truncated texts."""
        return [*self._entities.notes(), *self._relations.notes()]

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns each text's `entities` and `triples`, the most probable first.

        Takes any number of texts, as `tasks.Sentence`, rows by column, or strings.
        """
        texts = inputs_of(self.form, texts)
        predictions = self._entities(texts)
        pairs = [
            (number, head, tail)
            for number, prediction in enumerate(predictions)
            for head, tail in itertools.permutations(prediction["entities"], 2)
        ]
        mentions = [
            Mention(texts[number].text, _span(head), _span(tail))
            for number, head, tail in pairs
        ]
        # The best triple of each pair of entities, in either direction.
        best: dict[tuple, dict[str, Any]] = {}
        for (number, head, tail), prediction in zip(
            pairs, predict_all(self._relations, mentions), strict=True
        ):
            # A text that either model truncated.
            text = predictions[number]
            text["truncated"] = text["truncated"] or prediction["truncated"]
            relation = prediction["label"]
            score = prediction["probabilities"][relation]
            pair = (number, *sorted({_span(head), _span(tail)}))
            current = best.setdefault(pair, {"score": -1.0})
            if relation != NONE and score > current["score"]:
                best[pair] = {
                    "head": head,
                    "relation": relation,
                    "tail": tail,
                    "score": score,
                }
        for prediction in predictions:
            prediction["triples"] = []
        for (number, *_), triple in best.items():
            if triple["score"] >= self._threshold:
                predictions[number]["triples"].append(triple)
        for prediction in predictions:
            prediction["triples"].sort(key=lambda triple: -triple["score"])
        return predictions


def _span(entity: dict[str, Any]) -> tuple[int, int]:
    return entity["start"], entity["end"]


def _check_form(
    directory: str | Path, predictor: Predictor, form: tasks.Form, task: str
) -> None:
    if predictor.form.read is not form.read:  # Regardless of its encoding.
        raise ValueError(
            f"{directory} takes a {predictor.form.name} as input and is not for the"
            f" task type {task}; name a directory adapted from a run of --task {task}."
        )
