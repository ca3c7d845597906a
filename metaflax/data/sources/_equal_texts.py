"""Notes about texts that are equal up to case and white space."""

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from metaflax._wording import counted
from metaflax.tasks._label_names import similar_names


def text_key(text: Hashable) -> Hashable:
    """Returns a key that is equal for texts equal up to case and white space.

    Args:
      text: a string, or an input of several strings.

    Examples:
      >>> text_key(" It  BARKS") == text_key("it barks")
      True
    """
    if isinstance(text, str):
        return " ".join(text.casefold().split())
    return tuple(map(text_key, text)) if isinstance(text, tuple) else text


def group_numbers(texts: Sequence[Hashable]) -> np.ndarray | None:
    """Numbers the groups of equal texts, int32 `[texts]`; None if all texts differ.

    Examples:
      >>> group_numbers(["a", "b", "A "])
      array([0, 1, 0], dtype=int32)
    """
    numbers: dict[Hashable, int] = {}
    groups = [numbers.setdefault(text_key(text), len(numbers)) for text in texts]
    return np.array(groups, np.int32) if len(numbers) < len(groups) else None


def count_shared(texts: Sequence[Hashable], others: Sequence[Hashable]) -> int:
    """Counts the texts that also occur among others, up to case and white space."""
    known = set(map(text_key, others))
    return sum(text_key(text) in known for text in texts)


def duplicate_notes(
    texts: Sequence[Hashable],
    labels: Sequence[tuple[str, ...]],
    groups: np.ndarray | None,
) -> list[str]:
    """Describes texts that occur several times, under one label and under several.

    Args:
      texts: the texts.
      labels: labels of each text.
      groups: numbers of the groups of equal texts, or None.

    Returns:
      At most two sentences.
    """
    if groups is None:
        return []
    first: dict[int, int] = {}  # The first row by group.
    seen: dict[int, list[tuple[str, ...]]] = {}  # Different labels by group.
    repeated = 0
    for row, group in enumerate(groups.tolist()):
        first.setdefault(group, row)
        known = seen.setdefault(group, [])
        if labels[row] in known:
            repeated += 1
        else:
            known.append(labels[row])
    notes = []
    if repeated:
        notes.append(
            f"{counted(repeated, 'text repeats', 'texts repeat')} another one of the"
            " same label, up to case and white space; no episode has a text in both"
            " support and query set."
        )
    if several := [group for group, known in seen.items() if len(known) > 1]:
        group = several[0]
        conflicting = " and ".join(
            repr(" ".join(names) or "none") for names in seen[group][:2]
        )
        number = counted(len(several), "text occurs", "texts occur")
        notes.append(
            f"{number} under different labels, such as {texts[first[group]]!r:.80}"
            f" under {conflicting}; check the labels."
        )
    return notes


def label_notes(names: Iterable[str], spellings: Mapping[str, Set[Any]]) -> list[str]:
    """Describes labels that look alike, and those written in several ways.

    Args:
      names: the labels.
      spellings: the ways in which each label is written.

    Returns:
      A sentence for each group of labels, at most a few of each kind.
    """
    written = [
        f"{_formatted(forms)} are one label, {name!r}."
        for name, forms in sorted(spellings.items())
        if len(forms) > 1
    ]
    alike = [
        f"the labels {_formatted(group)} differ only in case, space or form and are"
        " different classes; rename them if they are meant as one."
        for group in similar_names(names)
    ]
    return [*_at_most(written), *_at_most(alike)]


def _formatted(names: Sequence[str] | Set[str]) -> str:
    """Formats names so that those which look the same differ."""
    looks = {repr(name) for name in names}
    ordered = sorted(names)
    show = repr if all(look.isascii() for look in looks) else ascii
    return " and ".join(map(show, ordered))


def _at_most(notes: list[str], most: int = 5) -> list[str]:
    if (rest := len(notes) - most) <= 0:
        return notes
    return [
        *notes[:most],
        f"{counted(rest, 'more label is', 'more labels are')} alike.",
    ]
