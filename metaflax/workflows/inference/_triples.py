"""Triples of a text: its entities, found by one model and related by another."""

import itertools
from pathlib import Path
from typing import Any

from metaflax import tasks
from metaflax.workflows.inference._predict import Predictor


class TripleFinder:
    """Two adapted models, one behind the other: text in, triples out.

    Every entity that the first model finds is related to every other by the second, in
    the direction that is more probable; what it calls none of its relations is no
    triple.

    Args:
      entities: what `adapt` wrote for a task of entities.
      relations: what `adapt` wrote for a task of relations.
      least: the least probability of a relation that makes a triple.
      batch_size: texts in one call, and pairs of entities.

    Attributes:
      form: of the texts that it reads.
      num_lost: how many pairs so far were too far into a text to be read.

    Raises:
      ValueError: if either directory is for another task, or `least` is no
        probability.
    """

    def __init__(
        self,
        entities: str | Path,
        relations: str | Path,
        *,
        least: float = 0.5,
        batch_size: int = 32,
    ):
        if not 0 <= least <= 1:
            raise ValueError(f"the least probability is {least}; give 0 to 1.")
        self._entities = Predictor(entities, batch_size)
        self._relations = Predictor(relations, batch_size)
        _check(entities, self._entities, tasks.SENTENCE, "entities")
        _check(relations, self._relations, tasks.MENTION, "relations")
        self._least = least
        self.form = self._entities.form
        self.batch_size = batch_size

    @property
    def num_lost(self) -> int:
        """Pairs of which the second model could not read both."""
        return self._relations.num_lost

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """For each text its `entities` and `triples`, the most probable first."""
        answers = self._entities(texts)
        pairs = [
            (number, head, tail)
            for number, answer in enumerate(answers)
            for head, tail in itertools.permutations(answer["entities"], 2)
        ]
        mentions = [
            tasks.Mention(texts[number].text, _span(head), _span(tail))
            for number, head, tail in pairs
        ]
        best: dict[tuple, dict[str, Any]] = {}  # Of each pair, in either direction.
        for (number, head, tail), said in zip(
            pairs, self._related(mentions), strict=True
        ):
            score, pair = (
                said["probabilities"][said["label"]],
                {_span(head), _span(tail)},
            )
            triple = {"head": head, "relation": said["label"], "tail": tail}
            known = best.setdefault((number, *sorted(pair)), {"score": -1.0})
            if said["label"] != tasks.NONE and score > known["score"]:
                best[number, *sorted(pair)] = {**triple, "score": score}
        for answer in answers:
            answer["triples"] = []
        for (number, *_), triple in best.items():
            if triple["score"] >= self._least:
                answers[number]["triples"].append(triple)
        for answer in answers:
            answer["triples"].sort(key=lambda triple: -triple["score"])
        return answers

    def _related(self, mentions: list[tasks.Mention]) -> list[dict[str, Any]]:
        """What the second model says of each pair of entities."""
        size = self.batch_size
        return [
            said
            for first in range(0, len(mentions), size)
            for said in self._relations(mentions[first : first + size])
        ]


def _span(entity: dict[str, Any]) -> tuple[int, int]:
    return entity["start"], entity["end"]


def _check(
    directory: str | Path, predictor: Predictor, form: tasks.Form, wanted: str
) -> None:
    if predictor.form.name != form.name:
        raise ValueError(
            f"{directory} reads a {predictor.form.name} and is not for {wanted}; adapt"
            f" a run of --task {wanted} and name its directory."
        )
