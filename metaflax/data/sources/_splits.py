"""Meta-training, meta-validation and meta-test splits, disjoint by class or domain."""

import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaflax.data.sources import _rows
from metaflax.data.sources._examples import Examples, listing
from metaflax.tasks._label_names import label_name

SPLIT_NAMES = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Splits:
    """Three sets of examples that share no class (or no domain).

    Attributes:
      train: examples for meta-training.
      valid: examples for model selection.
      test: examples for the reported scores.
      unused: classes (or domains) in none of the three.
      num_unused: examples in none of the three: those of unused classes, and those
        whose several labels lie in different splits.

    Examples:
      >>> from metaflax import data
      >>> letters = data.Examples("letters", tuple("abcd"), tuple((c,) for c in "abcd"))
      >>> splits = data.Splits(
      ...     letters.select([0, 1]), letters.select([2]), letters.select([3])
      ... )
      >>> splits.train.label_names, splits.test.label_names
      (('a', 'b'), ('d',))
    """

    train: Examples
    valid: Examples
    test: Examples
    unused: tuple[str, ...] = ()
    num_unused: int = 0


def split_by_file(
    examples: Examples,
    path: str | Path,
    fold: str | None = None,
    by: str = "label",
) -> Splits:
    """Splits examples by the names in a JSON file.

    Args:
      examples: examples to split.
      path: JSON, `{"train": [names], "valid": [names], "test": [names]}`, or that
        under the name of a fold; other entries are ignored.
      fold: name of the fold, where the file has several.
      by: `label` or `domain`, the kind of the names. A text with several labels goes to
        a split only if all its labels belong there.

    Returns:
      The splits; names that the file leaves out are listed in `unused`.

    Raises:
      ValueError: if the file cannot be read, has no such fold, has a name in two splits
        or one that no example has, or leaves a split empty.

    Examples:
      >>> import json, pathlib, tempfile
      >>> from metaflax import data
      >>> letters = data.Examples("letters", tuple("abcd"), tuple((c,) for c in "abcd"))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "fold.json"
      ...     names = {"train": ["a"], "valid": ["b"], "test": ["d"]}
      ...     _ = path.write_text(json.dumps(names))
      ...     splits = data.split_by_file(letters, path)
      >>> splits.test.texts, splits.unused, splits.num_unused
      (('d',), ('c',), 1)
    """
    return _split(examples, names_by_file(path, fold), by, str(path))


def split_by_names(
    examples: Examples, names: Mapping[str, Sequence[str]], by: str = "label"
) -> Splits:
    """Splits examples by given names.

    Args:
      examples: examples to split.
      names: classes (or domains) of `train`, `valid` and `test`.
      by: `label` or `domain`, as in `split_by_file`.

    Returns:
      The splits.

    Raises:
      ValueError: as `split_by_file`.

    Examples:
      >>> texts, labels = tuple("abc"), (("x",), ("y",), ("z",))
      >>> letters = Examples("letters", texts, labels)
      >>> names = {"train": ["x"], "valid": ["y"], "test": ["z"]}
      >>> split_by_names(letters, names).test.texts
      ('c',)
    """
    return _split(examples, names, by, "the split")


def split_by_seed(
    examples: Examples,
    seed: int,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    by: str = "label",
) -> Splits:
    """Splits classes (or domains) at random.

    Args:
      examples: examples to split.
      seed: seed of the split; the same seed and names give the same split.
      fractions: share of the names in each split, adding up to 1; every split gets at
        least one name.
      by: `label` or `domain`, as in `split_by_file`.

    Returns:
      The splits.

    Raises:
      ValueError: if the fractions are invalid, or there are too few names.

    Examples:
      >>> texts, labels = tuple("abcd"), (("w",), ("x",), ("y",), ("z",))
      >>> splits = split_by_seed(Examples("letters", texts, labels), seed=0)
      >>> [len(splits.train), len(splits.valid), len(splits.test)]
      [2, 1, 1]
    """
    known = _names(examples, by)
    names = names_by_seed(known, seed, fractions, examples.name, by)
    return _split(examples, names, by, f"seed {seed}")


def names_by_file(
    path: str | Path, fold: str | None = None
) -> Mapping[str, Sequence[str]]:
    """Reads the names of a split from a JSON file; see `split_by_file`.

    Raises:
      ValueError: if the file cannot be read, or has no such fold.
    """
    with _rows.opened(Path(path)) as file:
        try:
            content = json.load(file, object_pairs_hook=_rows.once_each)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}: not JSON ({error}); see split_by_file."
            ) from None
    return _fold_of(content, path, fold)


def names_by_seed(
    names: Sequence[str],
    seed: int,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    source: str = "the data",
    by: str = "label",
) -> dict[str, list[str]]:
    """Draws the names of `train`, `valid` and `test` of `split_by_seed`.

    Args:
      names: all names, in any order.
      seed: seed of the split.
      fractions: share of the names in each split.
      source: name of the data in messages.
      by: `label` or `domain`, the kind of the names.

    Returns:
      The names of each split, sorted.

    Raises:
      ValueError: as `split_by_seed`.

    Examples:
      >>> from metaflax.data import names_by_seed
      >>> names_by_seed("zyxw", seed=0)
      {'train': ['x', 'y'], 'valid': ['w'], 'test': ['z']}
    """
    whole = math.isclose(sum(fractions), 1)
    if len(fractions) != 3 or min(fractions) <= 0 or not whole:
        raise ValueError(
            f"fractions are {tuple(fractions)}; give three above 0 that add up to 1,"
            " for train, valid and test."
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more.")
    if len(names) < 3:
        raise ValueError(
            f"{source}: {len(names)} {by}s cannot make three splits; give at least"
            " three, or a split file."
        )
    names = sorted(names)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(names))
    sizes = _rounded_shares(len(names), fractions)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return {
        split: sorted(names[i] for i in part)
        for split, part in zip(SPLIT_NAMES, parts, strict=True)
    }


def label_names(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Writes the names of splits as labels are read, such as `1` for `1.0`."""
    return {
        split: list(dict.fromkeys(map(label_name, names[split]))) for split in names
    }


def check_names(
    names: Mapping[str, Sequence[str]],
    known: Collection[str],
    where: str,
    source: str,
    by: str = "label",
) -> None:
    """Checks that the names of splits are disjoint and occur in the data.

    Args:
      names: names by split.
      known: names that occur in the data.
      where: name of the split in messages.
      source: name of the data in messages.
      by: `label` or `domain`, the kind of the names.

    Raises:
      ValueError: if they do not; the message lists the names at fault.
    """
    if missing := [split for split in SPLIT_NAMES if split not in names]:
        raise ValueError(
            f"{where} of {source} names no {listing(missing)}; give train, valid and"
            " test."
        )
    _check_disjoint(names, by, where)
    for split in SPLIT_NAMES:
        if unknown := sorted(set(names[split]).difference(known)):
            raise ValueError(
                f"{where}: {split} names {listing(unknown)}, which no example of"
                f" {source} has; its {by}s are {listing(known)}."
            )


def check_disjoint(splits: Splits, by: str = "label") -> None:
    """Checks that splits share no class (or domain).

    Args:
      splits: splits to check.
      by: `label` or `domain`.

    Raises:
      ValueError: if two do; the message lists the shared names.
    """
    _check_disjoint(
        {name: _names(getattr(splits, name), by) for name in SPLIT_NAMES},
        by,
        splits.train.name,
    )


def _split(
    examples: Examples, names: Mapping[str, Sequence[str]], by: str, where: str
) -> Splits:
    known = _names(examples, by)
    names = label_names(names)
    check_names(names, known, where, examples.name, by)
    split_of = {name: split for split in SPLIT_NAMES for name in names[split]}
    groups = examples.labels
    if by == "domain":
        groups = [(domain,) for domain in examples.domains or ()]
    members: dict[str | None, list[int]] = {None: []}
    for index, group in enumerate(groups):
        splits = {split_of.get(name) for name in group}
        split = splits.pop() if len(splits) == 1 else None
        members.setdefault(split, []).append(index)
    parts = {}
    for split in SPLIT_NAMES:
        if not members.get(split):
            raise ValueError(
                f"{where}: {split} of {examples.name} has no examples; give it a {by}"
                " that occurs."
            )
        part = examples.select(members[split])
        parts[split] = dataclasses.replace(part, name=f"{examples.name} ({split})")
    return Splits(
        **parts,
        unused=tuple(sorted(set(known) - set(split_of))),
        num_unused=len(members[None]),
    )


def _names(examples: Examples, by: str) -> tuple[str, ...]:
    if by not in ("label", "domain"):
        raise ValueError(f"by is {by!r}; splits are by 'label' or by 'domain'.")
    if by == "label" and not examples.label_names:
        raise ValueError(
            f"{examples.name}: has no classes to split by; split by domain,"
            " as --split-by domain --domain COLUMN does."
        )
    if by == "label":
        return examples.label_names
    if examples.domains is None:
        raise ValueError(
            f"{examples.name}: has no domains to split by; name the domain column, or"
            " split by label."
        )
    return examples.domain_names


def _check_disjoint(names: Mapping[str, Sequence[str]], by: str, where: str) -> None:
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if shared := sorted(set(names[first]) & set(names[second])):
            raise ValueError(
                f"{where}: {first} and {second} share the {by}s {listing(shared)};"
                " keep each in one split only."
            )


def _fold_of(
    content: Any, path: str | Path, fold: str | None
) -> dict[str, Sequence[str]]:
    """Reads the three lists of names of a split file."""
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object with train, valid and test.")
    if fold is None and not set(SPLIT_NAMES) & set(content):
        raise ValueError(
            f"{path}: holds the folds {listing(content)}; choose one by fold=."
        )
    if fold is not None:
        if not isinstance(content.get(fold), dict):
            known = [name for name, value in content.items() if isinstance(value, dict)]
            raise ValueError(
                f"{path}: no fold {fold!r}; the folds are {listing(known) or 'none'}."
            )
        content = content[fold]
    for split in SPLIT_NAMES:
        names = content.get(split)
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise ValueError(f"{path}: {split!r} is not a list of names.")
    return {split: content[split] for split in SPLIT_NAMES}


def _rounded_shares(total: int, fractions: Sequence[float]) -> list[int]:
    """Rounds `total * fractions` to integers of at least 1 that add up to `total`."""
    exact = np.asarray(fractions) * total
    sizes = np.maximum(1, np.floor(exact)).astype(int)
    while sizes.sum() < total:
        sizes[np.argmax(exact - sizes)] += 1
    while sizes.sum() > total:
        sizes[np.argmax(np.where(sizes > 1, sizes - exact, -math.inf))] -= 1
    return sizes.tolist()
