"""Records that are computed once, and kept in files with digests of their inputs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.common._files import folder_digest, write_json
from metaflax import workflows

# Entry of a file for what its record was computed from.
INPUTS = "inputs"


def kept_record(
    path: Path, inputs: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns the record in a file; computes and writes it where there is none.

    Args:
      path: the JSON file.
      inputs: identity of each input of the record, such as a digest, by name; it is
        kept in the file as the entry `inputs`.
      compute: computes the record.

    Raises:
      ValueError: if the record in the file has other inputs.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "a.json"
      ...     kept_record(path, {"data": "x"}, lambda: {"accuracy": 0.5})
      ...     kept_record(path, {"data": "x"}, lambda: {"accuracy": 0.0})
      {'accuracy': 0.5}
      {'accuracy': 0.5}
    """
    if not path.is_file():
        write_record(path, inputs, compute())
    return read_record(path, inputs)


def write_record(
    path: Path, inputs: Mapping[str, Any], record: Mapping[str, Any]
) -> None:
    """Writes a record to a file, with the identity of its inputs."""
    write_json(path, {INPUTS: inputs, **record})


def read_record(path: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the record in a file.

    Raises:
      ValueError: if the record in the file has other inputs.
    """
    inputs = json.loads(json.dumps(inputs))  # Tuples are lists in the file.
    record = json.loads(path.read_text("utf-8"))
    kept = record.pop(INPUTS, {})
    if changed := [name for name in inputs if kept.get(name) != inputs[name]]:
        raise ValueError(
            f"{path} was computed from other {' and '.join(changed)}; name another"
            " folder for results."
        )
    return record


def model_digest(name: str) -> str:
    """Returns a digest of the files of a model, or the name of one of the hub."""
    folder = Path(workflows.locate_model(name))
    return folder_digest(folder) if folder.is_dir() else str(name)
