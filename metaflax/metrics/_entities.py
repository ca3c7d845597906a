"""Scores of entities found in sentences; on the host, since they are of any number."""

import dataclasses
from collections.abc import Collection, Hashable, Sequence
from typing import TypeAlias

# A tuple `(start, end, type)`, such as `tasks.Entity`.
Found: TypeAlias = tuple[int, int, Hashable]


@dataclasses.dataclass(frozen=True)
class EntityCounts:
    """How many entities were said, how many there are, and how many of both agree.

    Counts of several sets of sentences add up.

    Attributes:
      predicted: entities said.
      true: entities there are.
      right: those of which start, end and type are right.

    Examples:
      >>> print(EntityCounts(4, 2, 1) + EntityCounts(0, 2, 0))
      EntityCounts(predicted=4, true=4, right=1)
      >>> EntityCounts(4, 2, 1).scores()
      {'f1': 0.3333333333333333, 'precision': 0.25, 'recall': 0.5}
    """

    predicted: int
    true: int
    right: int

    def __add__(self, other: "EntityCounts") -> "EntityCounts":
        return EntityCounts(
            self.predicted + other.predicted,
            self.true + other.true,
            self.right + other.right,
        )

    def scores(self) -> dict[str, float]:
        """F1, precision and recall; 0 where they are not defined."""
        return {
            "f1": 2 * self.right / max(self.predicted + self.true, 1),
            "precision": self.right / max(self.predicted, 1),
            "recall": self.right / max(self.true, 1),
        }


def entity_counts(
    predicted: Sequence[Collection[Found]], true: Sequence[Collection[Found]]
) -> EntityCounts:
    """Counts entities over all sentences.

    Args:
      predicted: for each sentence the entities said, `(start, end, type)` each; one
        that is said twice counts once.
      true: for each sentence those that there are, likewise.

    Returns:
      An `EntityCounts`.

    Raises:
      ValueError: if the two differ in their number of sentences.

    Examples:
      >>> entity_counts([[(0, 2, "city")], []], [[(0, 2, "city")], [(3, 4, "city")]])
      EntityCounts(predicted=1, true=2, right=1)
    """
    if len(predicted) != len(true):
        raise ValueError(
            f"entities were predicted for {len(predicted)} sentences, and there are"
            f" {len(true)}; give those of every sentence, () for none."
        )
    said = {(n, *entity) for n, found in enumerate(predicted) for entity in found}
    are = {(n, *entity) for n, found in enumerate(true) for entity in found}
    return EntityCounts(len(said), len(are), len(said & are))


def entity_scores(
    predicted: Sequence[Collection[Found]], true: Sequence[Collection[Found]]
) -> dict[str, float]:
    """F1, precision and recall of entities, all sentences and types taken together.

    An entity is right if start, end and type are.

    Args:
      predicted: as for `entity_counts`.
      true: likewise.

    Returns:
      `{"f1": ..., "precision": ..., "recall": ...}`, each from 0 to 1; 0 where it is
      not defined, since there is or was said nothing.

    Raises:
      ValueError: if the two differ in their number of sentences.

    Examples:
      >>> entity_scores([[(0, 2, "city")], []], [[(0, 2, "city")], [(3, 4, "city")]])
      {'f1': 0.6666666666666666, 'precision': 1.0, 'recall': 0.5}

    References:
      Tjong Kim Sang and De Meulder, `Introduction to the CoNLL-2003 Shared Task
      <https://arxiv.org/abs/cs/0306050>`_, 2003.
    """
    return entity_counts(predicted, true).scores()


def entity_counts_by_type(
    predicted: Sequence[Collection[Found]], true: Sequence[Collection[Found]]
) -> dict[Hashable, EntityCounts]:
    """Counts entities of each type that was said or occurs, over all sentences.

    Args:
      predicted: as for `entity_counts`.
      true: likewise.

    Returns:
      An `EntityCounts` for each type, in the order of their names.

    Raises:
      ValueError: if the two differ in their number of sentences.

    Examples:
      >>> entity_counts_by_type([[(0, 2, "b")]], [[(0, 2, "a")]])["b"].scores()
      {'f1': 0.0, 'precision': 0.0, 'recall': 0.0}
    """
    types = {entity[2] for found in (*predicted, *true) for entity in found}

    def of(kind: Hashable, sentences: Sequence[Collection[Found]]):
        return [[e for e in found if e[2] == kind] for found in sentences]

    return {
        kind: entity_counts(of(kind, predicted), of(kind, true))
        for kind in sorted(types, key=str)
    }
