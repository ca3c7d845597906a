"""Labelled texts in memory."""

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metaflax.data.sources import _equal_texts


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts, each with labels or a target, and optionally a domain.

    Attributes:
      name: name of the data in messages.
      texts: input of each example: a string, or the input that the form of a task type
        (`tasks.Form`) makes of a row.
      labels: labels of each text, by which episodes are drawn and splits made; at
        least one where there are no targets.
      targets: target of each text, such as a number; None where the labels are the
        targets.
      domains: domain of each text, or None.
      ids: name of each text in its source, or None.
      num_unlabelled: number of rows left out because they had no label.
      variants: alternatives to each text, perhaps none; or None.
      notes: sentences about what reading the source changed, merged or left out, and
        what looks like a mistake in it.

    Raises:
      ValueError: if the columns differ in length, or a text has no label.

    Examples:
      >>> from metaflax.data import Examples
      >>> pets = Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)))
      >>> len(pets), pets.label_names, pets.select([1]).texts
      (2, ('cat', 'dog'), ('it purrs',))
    """

    name: str
    texts: tuple[Hashable, ...]
    labels: tuple[tuple[str, ...], ...]
    domains: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    num_unlabelled: int = 0
    targets: tuple[Any, ...] | None = None
    variants: tuple[tuple[Hashable, ...], ...] | None = None
    notes: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def __post_init__(self):
        for column in ("labels", "targets", "domains", "ids", "variants"):
            values = getattr(self, column)
            if values is not None and len(values) != len(self.texts):
                raise ValueError(
                    f"{self.name}: {len(self.texts)} texts but {len(values)}"
                    f" {column}; give one a text."
                )
        for number, labels in enumerate(self.labels):
            unlabelled = not labels and self.targets is None
            if unlabelled or isinstance(labels, str):
                raise ValueError(
                    f"{self.name}: labels of text {number} are {labels!r}; give a"
                    " tuple of at least one name."
                )

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels, sorted; global label ids index this tuple."""
        return tuple(sorted({label for labels in self.labels for label in labels}))

    @property
    def domain_names(self) -> tuple[str, ...]:
        """All domains, sorted; empty where there are none."""
        return tuple(sorted(set(self.domains or ())))

    @functools.cached_property
    def groups(self) -> np.ndarray | None:
        """Numbers equal for texts that are equal up to case and white space.

        Int32 `[texts]`, or None where all texts differ.
        """
        return _equal_texts.group_numbers(self.texts)

    @property
    def is_multi_label(self) -> bool:
        """Whether any text has more than one label."""
        return any(len(labels) > 1 for labels in self.labels)

    def select(self, indices: Iterable[int] | np.ndarray) -> "Examples":
        """Selects the examples at `indices`, in that order."""
        order = [int(i) for i in indices]

        def take(column: Sequence | None):
            return None if column is None else tuple(column[i] for i in order)

        return dataclasses.replace(
            self,
            texts=take(self.texts),
            labels=take(self.labels),
            targets=take(self.targets),
            domains=take(self.domains),
            ids=take(self.ids),
            variants=take(self.variants),
        )

    def with_domains(self, domain_of: Mapping[str, str]) -> "Examples":
        """Assigns each text the domain of its label.

        Args:
          domain_of: domain by label.

        Returns:
          These examples with `domains` set.

        Raises:
          ValueError: if a label has no domain, or labels of one text disagree.

        Examples:
          >>> pets = Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)))
          >>> pets.with_domains({"dog": "canine", "cat": "feline"}).domains
          ('canine', 'feline')
        """
        if missing := sorted(set(self.label_names) - set(domain_of)):
            raise ValueError(
                f"{self.name}: no domain is given for {listing(missing)}; map every"
                " label to a domain."
            )
        if not all(self.labels):
            raise ValueError(
                f"{self.name}: some texts have no label to tell their domain by; name a"
                " column of domains."
            )
        domains = [{domain_of[label] for label in labels} for labels in self.labels]
        for number, names in enumerate(domains):
            if len(names) > 1:
                raise ValueError(
                    f"{self.name}: labels of text {number} lie in the domains"
                    f" {listing(sorted(names))}; a text belongs to one."
                )
        return dataclasses.replace(self, domains=tuple(min(names) for names in domains))


def joined(first: Examples, second: Examples) -> Examples:
    """Concatenates two sets of examples under the name of the first.

    Ids that one of them lacks are dropped; variants that one lacks are empty.

    Raises:
      ValueError: if only one of them has domains, or targets.
    """
    for column in ("domains", "targets"):
        if (getattr(first, column) is None) != (getattr(second, column) is None):
            raise ValueError(
                f"{first.name} and {second.name}: only one of them has {column}."
            )

    def both(column: str, lacking: tuple = ()):
        values = getattr(first, column), getattr(second, column)
        if values == (None, None):
            return None
        if lacking:
            sizes = len(first), len(second)
            pairs = zip(values, sizes, strict=True)
            values = tuple(lacking * n if v is None else v for v, n in pairs)
        return None if None in values else values[0] + values[1]

    return Examples(
        name=first.name,
        texts=first.texts + second.texts,
        labels=first.labels + second.labels,
        domains=both("domains"),
        ids=both("ids"),
        num_unlabelled=first.num_unlabelled + second.num_unlabelled,
        targets=both("targets"),
        variants=both("variants", lacking=((),)),
        notes=first.notes + second.notes,
    )


def listing(names: Iterable[object], most: int = 8) -> str:
    """Formats names for a message, quoted, at most `most` of them."""
    names = [repr(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
