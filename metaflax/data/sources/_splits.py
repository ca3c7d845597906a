"""Meta-train, meta-validation and meta-test, disjoint by class or by domain."""

import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaflax.data.sources import _rows
from metaflax.data.sources._examples import Examples, listing

SPLIT_NAMES = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Splits:
    """Three sets of examples that share no class (or no domain).

    Attributes:
      train: what meta-training sees.
      valid: what every choice is made on.
      test: what is reported.
      unused: classes (or domains) in none of the three.
      num_unused: examples in none of the three: those of unused classes, and those
        whose several labels lie in different splits.
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
    """Splits as a JSON file says.

    Args:
      examples: what to split.
      path: JSON, `{"train": [names], "valid": [names], "test": [names]}`, or that
        under the name of a fold; other entries are ignored.
      fold: which fold, where the file has several.
      by: `label` or `domain`, what the names are. A text with several labels goes to
        a split only if all its labels belong there.

    Returns:
      The splits; names that the file leaves out are listed in `unused`.

    Raises:
      ValueError: if the file cannot be read, has no such fold, puts a name in two
        splits, names what no example has, or leaves a split empty.
    """
    return _split(examples, names_by_file(path, fold), by, str(path))


def split_by_names(
    examples: Examples, names: Mapping[str, Sequence[str]], by: str = "label"
) -> Splits:
    """Splits as a mapping says.

    Args:
      examples: what to split.
      names: the classes (or domains) of `train`, `valid` and `test`.
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
      examples: what to split.
      seed: which of all splits; the same seed and names give the same split.
      fractions: how the names are shared out, adding up to 1; every split gets at
        least one name.
      by: `label` or `domain`, as in `split_by_file`.

    Returns:
      The splits.

    Raises:
      ValueError: if the fractions make no sense, or there are too few names.

    Examples:
      >>> texts, labels = tuple("abcd"), (("w",), ("x",), ("y",), ("z",))
      >>> splits = split_by_seed(Examples("letters", texts, labels), seed=0)
      >>> [len(splits.train), len(splits.valid), len(splits.test)]
      [2, 1, 1]
    """
    names = _names(examples, by)
    chosen = names_by_seed(names, seed, fractions, examples.name, by)
    return _split(examples, chosen, by, f"seed {seed}")


def names_by_file(
    path: str | Path, fold: str | None = None
) -> Mapping[str, Sequence[str]]:
    """The names of `train`, `valid` and `test` in a JSON file, see `split_by_file`.

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
    """Names of `train`, `valid` and `test` at random, those of `split_by_seed`.

    Args:
      names: all of them, in whatever order.
      seed: which of all splits.
      fractions: how the names are shared out.
      source: what messages call the data.
      by: `label` or `domain`, what the names are.

    Returns:
      The names of each split, sorted.

    Raises:
      ValueError: as `split_by_seed`.

    Examples:
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
    sizes = _shared_out(len(names), fractions)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return {
        split: sorted(names[i] for i in part)
        for split, part in zip(SPLIT_NAMES, parts, strict=True)
    }


def check_names(
    chosen: Mapping[str, Sequence[str]],
    known: Collection[str],
    where: str,
    source: str,
    by: str = "label",
) -> None:
    """Refuses names of splits that share one, or that do not occur.

    Args:
      chosen: the names of each split.
      known: those that occur.
      where: what messages call the split.
      source: what they call the data.
      by: `label` or `domain`, what the names are.

    Raises:
      ValueError: saying which.
    """
    if missing := [name for name in SPLIT_NAMES if name not in chosen]:
        raise ValueError(
            f"{where} of {source} names no {listing(missing)}; give train, valid and"
            " test."
        )
    _check_disjoint(chosen, by, where)
    for split in SPLIT_NAMES:
        if unknown := sorted(set(chosen[split]).difference(known)):
            raise ValueError(
                f"{where}: {split} names {listing(unknown)}, which no example of"
                f" {source} has; its {by}s are {listing(known)}."
            )


def check_disjoint(splits: Splits, by: str = "label") -> None:
    """Refuses splits that share a class (or a domain).

    Args:
      splits: what to check.
      by: `label` or `domain`.

    Raises:
      ValueError: naming what two splits share.
    """
    _check_disjoint(
        {name: _names(getattr(splits, name), by) for name in SPLIT_NAMES},
        by,
        splits.train.name,
    )


def _split(
    examples: Examples, chosen: Mapping[str, Sequence[str]], by: str, where: str
) -> Splits:
    known = _names(examples, by)
    check_names(chosen, known, where, examples.name, by)
    split_of = {name: split for split in SPLIT_NAMES for name in chosen[split]}
    groups = examples.labels
    if by == "domain":
        groups = [(domain,) for domain in examples.domains or ()]
    members: dict[str | None, list[int]] = {None: []}
    for index, group in enumerate(groups):
        found = {split_of.get(name) for name in group}
        home = found.pop() if len(found) == 1 else None
        members.setdefault(home, []).append(index)
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
            f"{examples.name}: has no classes to split by; split by domain."
        )
    if by == "label":
        return examples.label_names
    if examples.domains is None:
        raise ValueError(
            f"{examples.name}: has no domains to split by; name the domain column, or"
            " split by label."
        )
    return examples.domain_names


def _check_disjoint(chosen: Mapping[str, Sequence[str]], by: str, where: str) -> None:
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if shared := sorted(set(chosen[first]) & set(chosen[second])):
            raise ValueError(
                f"{where}: {first} and {second} share the {by}s {listing(shared)};"
                " each may be in one split only."
            )


def _fold_of(
    content: Any, path: str | Path, fold: str | None
) -> dict[str, Sequence[str]]:
    """The three lists of names inside a split file."""
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
            raise ValueError(f"{path}: {split!r} is to be a list of names.")
    return {split: content[split] for split in SPLIT_NAMES}


def _shared_out(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers near `total * fractions`, each at least 1, adding up to `total`."""
    wanted = np.asarray(fractions) * total
    sizes = np.maximum(1, np.floor(wanted)).astype(int)
    while sizes.sum() < total:
        sizes[np.argmax(wanted - sizes)] += 1
    while sizes.sum() > total:
        sizes[np.argmax(np.where(sizes > 1, sizes - wanted, -math.inf))] -= 1
    return sizes.tolist()
