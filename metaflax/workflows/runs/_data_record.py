"""Record of the data that a run was trained on, to tell when they changed."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaflax import _files, data
from metaflax._wording import counted
from metaflax.config import DataConfig
from metaflax.data.sources._examples import listing

# File of a run directory with the record.
FILE = "data.json"
# Largest number of differences in a message.
MOST = 4

# By split: classes and domains, number of texts, and digests of their content.
Record = Mapping[str, Mapping[str, Any]]


def record_examples(
    examples: data.Examples, names: Sequence[Any] = ()
) -> dict[str, Any]:
    """Returns the record of a split in memory and of its class names.

    Examples:
      >>> pets = data.Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)))
      >>> record = record_examples(pets)
      >>> record["classes"], record["texts"], record["digest"][:8]
      (['cat', 'dog'], 2, '434edbfc')
      >>> again = record_examples(pets.select([1, 0]))
      >>> again["digest"] == record["digest"], again["rows"] == record["rows"]
      (False, True)
    """
    columns = [
        column or [None] * len(examples)
        for column in (
            examples.texts,
            examples.labels,
            examples.targets,
            examples.domains,
            examples.variants,
        )
    ]
    digests = [
        hashlib.sha256(json.dumps(_plain(row)).encode()).hexdigest()
        for row in zip(*columns, strict=True)
    ]
    described = {"names": _digest([json.dumps(_plain(names))])} if names else {}
    return described | {
        "classes": list(examples.label_names),
        "domains": list(examples.domain_names),
        "texts": len(examples),
        "digest": _digest(digests),
        "rows": _digest(sorted(digests)),
    }


def check_record(folder: Path, record: Record, source: str) -> None:
    """Checks that the data have not changed since a run was trained on them.

    Args:
      folder: the run directory; directories of earlier releases have no record.
      record: record of the current data.
      source: name of the source of the data, for the message.

    Raises:
      ValueError: if they have; the message describes what changed.
    """
    path = folder / FILE
    if not path.is_file():
        return
    try:
        changes = differences(json.loads(path.read_text(encoding="utf-8")), record)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}).") from error
    if changes:
        more = f"; and {len(changes) - MOST} more" if len(changes) > MOST else ""
        raise ValueError(
            f"{folder} was trained on other data: {'; '.join(changes[:MOST])}{more}."
            f" Restore {source}, or train a new run."
        )


def keep_record(folder: Path, record: Record, source: str) -> None:
    """Checks the data with `check_record`, or writes their record if there is none."""
    check_record(folder, record, source)
    if not (folder / FILE).is_file():
        _files.write_json(folder / FILE, record)


def source_of(config: DataConfig) -> str:
    """Names the files that a config reads data and splits from, for a message."""
    sources = (
        config.path,
        config.more_train,
        config.split_file,
        config.label_names_file,
    )
    return " and ".join(source for source in sources if source)


def differences(before: Record, after: Record) -> list[str]:
    """Describes how data changed, with a clause for each difference.

    Examples:
      >>> pets = {"texts": 2, "digest": "x", "rows": "y"}
      >>> before = {"train": {**pets, "classes": ["cat"]}, "test": {**pets}}
      >>> after = {"train": {**pets, "texts": 3}, "test": {**pets, "classes": ["cat"]}}
      >>> differences(before, after)
      ["class 'cat' moved from train to test", 'train has 3 texts instead of 2']
    """
    changes = []
    for kind, one, several in (
        ("classes", "class", "classes"),
        ("domains", "domain", "domains"),
    ):
        moves: dict[tuple[str, str], list[str]] = {}
        old, new = _splits_of(before, kind), _splits_of(after, kind)
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                move = old.get(name, ""), new.get(name, "")
                moves.setdefault(move, []).append(name)
        for (source, target), names in moves.items():
            noun = one if len(names) == 1 else several
            verb = "is" if len(names) == 1 else "are"
            if not target:
                change = f"of {source} {verb} gone"
            elif not source:
                change = f"of {target} {verb} new"
            else:
                change = f"moved from {source} to {target}"
            changes.append(f"{noun} {listing(names)} {change}")
    for split in before:
        old, new = before[split], after[split]
        if old["texts"] != new["texts"]:
            changes.append(
                f"{split} has {counted(new['texts'], 'text')} instead of {old['texts']}"
            )
        elif old["digest"] != new["digest"]:
            same = "rows" in old and old["rows"] == new.get("rows")
            changes.append(
                f"the texts of {split} are in another order"
                if same
                else f"texts or labels of {split} differ"
            )
        if old.get("names") != new.get("names"):
            changes.append(f"the descriptions of classes of {split} differ")
    return changes


def _splits_of(record: Record, kind: str) -> dict[str, str]:
    """Returns the splits of each class or domain."""
    splits: dict[str, list[str]] = {}
    for split, content in record.items():
        for name in content.get(kind, ()):
            splits.setdefault(name, []).append(split)
    return {name: " and ".join(of_name) for name, of_name in splits.items()}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Converts a value to JSON types, the same in each process."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(x) for x in value]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(x)) for x in value)
    if isinstance(value, Mapping):
        return [[str(name), _plain(x)] for name, x in sorted(value.items())]
    if value is None or isinstance(value, str | int | float):
        return value
    return type(value).__qualname__  # Its representation may contain a memory address.
