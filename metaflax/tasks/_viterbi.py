"""Viterbi decoding, and abstract transition probabilities of entities."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


def viterbi(
    scores: np.ndarray,
    lengths: np.ndarray,
    start: np.ndarray,
    transitions: np.ndarray,
) -> np.ndarray:
    r"""Finds the sequence of classes :math:`y` of each text with the largest score.

    .. math::

      \max_y \; \mathrm{start}_{y_1} + \sum_{w=1}^{W} \mathrm{scores}_{w, y_w}
      + \sum_{w=2}^{W} \mathrm{transitions}_{y_{w-1}, y_w}

    With logarithms of probabilities that is the most probable sequence. Minus infinity
    rules a class or a transition out: `np.log(allowed)` of what
    `Tagging.transitions` allows.

    Args:
      scores: `[B, W, C]`, of each class for each word of B texts.
      lengths: words of each text `[B]`; scores beyond are not looked at.
      start: `[C]`, of each class for the first word.
      transitions: `[C, C]`, from the class of a word to that of the next.

    Returns:
      Classes int32 `[B, W]`, -1 beyond the length of a text; of equally good sequences
      one.

    Raises:
      ValueError: if every sequence of a text is ruled out, or its scores hold NaN.

    Examples:
      >>> scores = np.log([[[0.6, 0.4], [0.1, 0.9]]])
      >>> stay = np.log([[0.9, 0.1], [0.1, 0.9]])
      >>> print(viterbi(scores, np.array([2]), np.zeros(2), stay))
      [[1 1]]

    References:
      Viterbi, `Error Bounds for Convolutional Codes and an Asymptotically Optimum
      Decoding Algorithm <https://doi.org/10.1109/TIT.1967.1054010>`_, 1967; Yang and
      Katiyar, `Simple and Effective Few-Shot Named Entity Recognition with Structured
      Nearest Neighbor Learning <https://arxiv.org/abs/2010.02405>`_, 2020, for scores
      of nearest neighbours.
    """
    num_texts, num_words, num_classes = scores.shape
    rows, lengths = np.arange(num_texts), np.asarray(lengths)
    if not num_words:
        return np.empty((num_texts, 0), np.int32)
    scores, transitions = scores.astype(np.float64), transitions.astype(np.float64)

    best = start + scores[:, 0]  # [B, C], of the best path to each class.
    # From each class back to the one before; beyond a text's end to itself.
    pointers = np.tile(np.arange(num_classes), (num_words, num_texts, 1))
    for word in range(1, num_words):
        paths = best[:, :, None] + transitions  # [B, C, C]
        goes_on = (word < lengths)[:, None]
        pointers[word] = np.where(goes_on, paths.argmax(axis=1), pointers[word])
        best = np.where(goes_on, paths.max(axis=1) + scores[:, word], best)

    _check(best.max(axis=1), lengths)
    classes = np.empty((num_texts, num_words), np.int32)
    classes[:, -1] = best.argmax(axis=1)
    for word in range(num_words - 1, 0, -1):
        classes[:, word - 1] = pointers[word, rows, classes[:, word]]
    return np.where(np.arange(num_words) < lengths[:, None], classes, -1)


def _check(best: np.ndarray, lengths: np.ndarray) -> None:
    lost = np.flatnonzero(~(best > -np.inf) & (lengths > 0))
    if len(lost):
        raise ValueError(
            f"text {lost[0]} has no best sequence of classes: all are ruled out, or"
            " scores are NaN."
        )


class AbstractTransitions(NamedTuple):
    """Transition probabilities between words, whatever the types of entities.

    Attributes:
      start: probabilities `[2]` that the first word is in no entity, and in one.
      outside: `[2]`, the same of a word after one that is in no entity.
      inside: `[3]`, of a word after one that is in an entity: that it is in none, in
        one of the same type, and in one of another.
    """

    start: np.ndarray
    outside: np.ndarray
    inside: np.ndarray


def abstract_transitions(
    sequences: Iterable[np.ndarray], num_types: int
) -> AbstractTransitions:
    """Estimates transition probabilities that apply to new types.

    Args:
      sequences: for each text the classes of its words `[W]` as `IO` encodes them.
      num_types: number of types, which is also the number of the class of no entity.

    Returns:
      Shares, one being added to each count so that nothing is ruled out.

    Examples:
      >>> import numpy as np
      >>> from metaflax.tasks import abstract_transitions
      >>> counted = abstract_transitions([np.array([2, 0, 0, 1, 2])], num_types=2)
      >>> print(counted.outside, counted.inside)
      [0.33333333 0.66666667] [0.33333333 0.33333333 0.33333333]

    References:
      Yang and Katiyar, `Simple and Effective Few-Shot Named Entity Recognition with
      Structured Nearest Neighbor Learning <https://arxiv.org/abs/2010.02405>`_, 2020,
      section 3.2, where nothing is added to counts.
    """
    start, outside, inside = np.ones(2), np.ones(2), np.ones(3)
    for classes in map(np.asarray, sequences):
        within = classes < num_types
        before, after = within[:-1], within[1:]
        same = classes[:-1] == classes[1:]
        start += np.bincount(within[:1], minlength=2)
        outside += np.bincount(after[~before], minlength=2)
        inside += np.bincount(np.where(after, 2 - same, 0)[before], minlength=3)
    return AbstractTransitions(*(c / c.sum() for c in (start, outside, inside)))


def spread(
    abstract: AbstractTransitions, num_types: int, *, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Spreads abstract transitions evenly over new types.

    The probability of any type is shared by the N types, and that of another type by
    the N - 1 others. Probabilities are then raised to the power :math:`\tau` and made
    to sum to 1 again.

    Args:
      abstract: transitions that hold for any types.
      num_types: N.
      temperature: :math:`\tau`; below 1 it makes transitions matter less beside the
        scores of words, and 0 makes all alike.

    Returns:
      `start` `[N + 1]` and `transitions` `[N + 1, N + 1]` for `viterbi`, logarithms of
      probabilities, for classes as `IO` numbers them.

    Raises:
      ValueError: if the temperature is below 0.

    References:
      Yang and Katiyar, 2020, as for `abstract_transitions`; the temperature is theirs.
    """
    if not temperature >= 0:
        raise ValueError(f"the temperature is 0 or more, got {temperature}.")
    ends, same, other = abstract.inside
    table = np.full((num_types + 1, num_types + 1), other / max(num_types - 1, 1))
    np.fill_diagonal(table, same)
    table[:, -1] = ends
    table[-1] = _shared(abstract.outside, num_types)
    rows = np.vstack([_shared(abstract.start, num_types), table]) ** temperature
    rows = np.log(rows / rows.sum(axis=1, keepdims=True))
    return rows[0], rows[1:]


def _shared(shares: np.ndarray, num_types: int) -> np.ndarray:
    """Spreads shares of none and of any type over each type and none, `[N + 1]`."""
    none, some = shares
    return np.append(np.full(num_types, some / num_types), none)
