"""Additional examples for meta-training alone."""

import dataclasses

from metaflax.data.sources._examples import Examples, joined, listing
from metaflax.data.sources._splits import Splits


def with_more_training(splits: Splits, more: Examples, by: str = "label") -> Splits:
    """Adds examples to the meta-training split.

    Args:
      splits: splits of other examples.
      more: examples to add, such as texts with pseudo-labels.
      by: `label` or `domain`, by which the splits are disjoint.

    Returns:
      The splits, with `more` after the examples of `train`.

    Raises:
      ValueError: if a class (or domain) of `more` is one of validation or test, or
        `more` has no domains where the splits are by them, or other columns.

    Examples:
      >>> def letters(names):
      ...     return Examples(names, tuple(names), tuple((n,) for n in names))
      >>> splits = Splits(letters("ab"), letters("cd"), letters("ef"))
      >>> with_more_training(splits, letters("xy")).train.texts
      ('a', 'b', 'x', 'y')
    """

    def names(examples: Examples) -> set[str]:
        return set(examples.label_names if by == "label" else examples.domain_names)

    for split in ("valid", "test"):
        if shared := sorted(names(more) & names(getattr(splits, split))):
            raise ValueError(
                f"{more.name}: has the {by}s {listing(shared)}, which are of"
                f" meta-{split}; leave them out or name them otherwise."
            )
    return dataclasses.replace(splits, train=joined(splits.train, more))
