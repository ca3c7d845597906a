"""Labelled texts as the rest of the package sees them."""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts, each with one label or several or a target, and perhaps a domain.

    Attributes:
      name: what messages call this data.
      texts: what a model reads of each example: a string, or what the form of a task
        type (`tasks.Form`) reads in place of one.
      labels: for each text its labels, by which episodes are drawn and splits made;
        at least one where there are no targets.
      targets: for each text what is to be said, where that is none of its labels: a
        number. None where the labels are the targets.
      domains: for each text the domain it comes from, or None.
      ids: for each text the name its source gives it, or None.
      num_unlabelled: rows that were left out because they had no label.
      variants: for each text others that may be read in its place, perhaps none; or
        None.

    Raises:
      ValueError: if the columns differ in length, or a text has no label.

    Examples:
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
        """Every label that occurs, sorted; global label ids index this."""
        return tuple(sorted({label for labels in self.labels for label in labels}))

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Every domain that occurs, sorted; empty where there are none."""
        return tuple(sorted(set(self.domains or ())))

    @property
    def is_multi_label(self) -> bool:
        """True where some text has more than one label."""
        return any(len(labels) > 1 for labels in self.labels)

    def select(self, indices: Iterable[int] | np.ndarray) -> "Examples":
        """The examples at `indices`, in that order."""
        chosen = [int(i) for i in indices]

        def take(column: Sequence | None):
            return None if column is None else tuple(column[i] for i in chosen)

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
        """Puts each text in the domain of its label.

        Args:
          domain_of: the domain of every label that occurs.

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
        for number, found in enumerate(domains):
            if len(found) > 1:
                raise ValueError(
                    f"{self.name}: labels of text {number} lie in the domains"
                    f" {listing(sorted(found))}; a text belongs to one."
                )
        return dataclasses.replace(self, domains=tuple(min(found) for found in domains))


def joined(first: Examples, second: Examples) -> Examples:
    """The examples of both, by the name of the first.

    Ids and variants that one of them lacks are left out or empty.

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
    )


def listing(names: Iterable[object], most: int = 8) -> str:
    """Names for a message, quoted, the first `most` of them."""
    names = [repr(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
