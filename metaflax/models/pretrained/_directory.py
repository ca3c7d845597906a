"""Directories of checkpoints as Hugging Face lays them out."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from metaflax._files import atomic_folder, check_absent

ProblemType: TypeAlias = Literal[
    "single_label_classification", "multi_label_classification", "regression"
]


def unused(directory: str | Path) -> Path:
    """Returns the path of a directory to be written.

    Raises:
      ValueError: if it exists and holds anything.
    """
    target = Path(directory).expanduser()
    check_absent(target)
    return target


def existing(directory: str | Path, names: Sequence[str]) -> list[Path]:
    """Returns those of the named tokenizer files that a directory holds.

    Raises:
      ValueError: if it holds none.
    """
    paths = [Path(directory).expanduser() / name for name in names]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise ValueError(f"{Path(directory).expanduser()} holds no tokenizer files")
    return paths


def contiguous(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Casts to float32, in C order: anything else would be written scrambled."""
    return {
        name: np.ascontiguousarray(np.asarray(tensor).astype(np.float32))
        for name, tensor in tensors.items()
    }


def class_fields(
    labels: Sequence[str] | None, head: Mapping[str, Any], problem_type: str
) -> dict[str, Any]:
    """Returns the fields of a configuration that describe the classes of a head.

    Raises:
      ValueError: for an unknown problem type, or labels that do not fit the head.
    """
    if problem_type not in get_args(ProblemType):
        raise ValueError(
            f"unknown problem_type={problem_type!r}; there is"
            f" {' and '.join(get_args(ProblemType))}"
        )
    num_labels = (np.shape(head.get("bias", ())) or (0,))[0]
    names = [f"LABEL_{i}" for i in range(num_labels)] if labels is None else labels
    if len(set(names)) != num_labels or len(names) != num_labels:
        raise ValueError(
            f"the head has {num_labels} classes, which want as many different labels,"
            f" got {list(names)}"
        )
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": problem_type,
    }


def labels_of(content: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Returns the class names of a configuration, in order.

    Raises:
      ValueError: if it does not number them from 0 on.
    """
    # Without names there are two classes, as in transformers.
    names = content.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: id2label={names!r} does not number classes"
        ) from error
    if sorted(numbered) != list(range(len(numbered))):
        raise ValueError(
            f"{path}: id2label numbers classes {sorted(numbered)}, not 0 to"
            f" {len(numbered) - 1}"
        )
    return tuple(numbered[i] for i in range(len(numbered)))


def write(
    target: Path,
    content: Mapping[str, Any],
    files: Mapping[str, Mapping[str, np.ndarray]],
    tokenizer_files: Sequence[Path],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes a directory, which appears whole or not at all."""
    import safetensors.numpy

    try:
        with atomic_folder(target) as folder:
            text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
            (folder / "config.json").write_text(text + "\n", encoding="utf-8")
            for name, tensors in files.items():
                path, metadata = folder / name, {"format": "pt"}
                path.parent.mkdir(exist_ok=True)
                safetensors.numpy.save_file(dict(tensors), path, metadata=metadata)
                # safetensors lets nobody but the owner read its files.
                shutil.copymode(folder / "config.json", path)
            for name, note in (notes or {}).items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(note, encoding="utf-8")
            for path in tokenizer_files:
                shutil.copyfile(path, folder / path.name)
    except FileExistsError as error:  # Written by another process in the meantime.
        raise ValueError(f"{target} exists already; name a new directory.") from error
