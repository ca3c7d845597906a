"""Entity F1, precision and recall, computed on the host."""

import dataclasses
from collections.abc import Collection, Hashable, Sequence
from typing import TypeAlias

# A tuple `(start, end, type)`.
EntityTuple: TypeAlias = tuple[int, int, Hashable]


@dataclasses.dataclass(frozen=True)
class EntityCounts:
    """Counts of predicted, gold and correctly predicted entities.

    Counts of several sets of sentences add up.

    Attributes:
      predicted: predicted entities.
      true: gold entities.
      right: predicted entities whose start, end and type agree with a gold one.

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
    predicted: Sequence[Collection[EntityTuple]],
    true: Sequence[Collection[EntityTuple]],
) -> EntityCounts:
    """Counts entities over all sentences.

    Args:
      predicted: for each sentence the predicted entities, `(start, end, type)` each;
        duplicates count once.
      true: for each sentence the gold entities, in the same form.

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
    guesses = {(n, *entity) for n, row in enumerate(predicted) for entity in row}
    gold = {(n, *entity) for n, row in enumerate(true) for entity in row}
    return EntityCounts(len(guesses), len(gold), len(guesses & gold))


def entity_scores(
    predicted: Sequence[Collection[EntityTuple]],
    true: Sequence[Collection[EntityTuple]],
) -> dict[str, float]:
    """Computes micro-averaged F1, precision and recall of entities.

    An entity is right if start, end and type are.

    Args:
      predicted: as for `entity_counts`.
      true: as for `entity_counts`.

    Returns:
      `{"f1": ..., "precision": ..., "recall": ...}`, each from 0 to 1; 0 where it is
      not defined, since there are no gold or no predicted entities.

    Raises:
      ValueError: if the two differ in their number of sentences.

    Examples:
      >>> from metaflax.metrics import entity_scores
      >>> entity_scores([[(0, 2, "city")], []], [[(0, 2, "city")], [(3, 4, "city")]])
      {'f1': 0.6666666666666666, 'precision': 1.0, 'recall': 0.5}

    References:
      Tjong Kim Sang and De Meulder, `Introduction to the CoNLL-2003 Shared Task
      <https://arxiv.org/abs/cs/0306050>`_, 2003.
    """
    return entity_counts(predicted, true).scores()


def entity_counts_by_type(
    predicted: Sequence[Collection[EntityTuple]],
    true: Sequence[Collection[EntityTuple]],
) -> dict[Hashable, EntityCounts]:
    """Counts the entities of each predicted or gold type over all sentences.

    Args:
      predicted: as for `entity_counts`.
      true: as for `entity_counts`.

    Returns:
      An `EntityCounts` for each type, in the order of their names.

    Raises:
      ValueError: if the two differ in their number of sentences.

    Examples:
      >>> entity_counts_by_type([[(0, 2, "b")]], [[(0, 2, "a")]])["b"].scores()
      {'f1': 0.0, 'precision': 0.0, 'recall': 0.0}
    """
    types = {entity[2] for row in (*predicted, *true) for entity in row}

    def of(kind: Hashable, sentences: Sequence[Collection[EntityTuple]]):
        return [[e for e in row if e[2] == kind] for row in sentences]

    return {
        kind: entity_counts(of(kind, predicted), of(kind, true))
        for kind in sorted(types, key=str)
    }
