"""External files of a run: copies of model files, and paths of data files."""

import contextlib
import dataclasses
import glob
import json
import os
import shutil
from pathlib import Path
from typing import Any

from metaflax import _files
from metaflax.config import Config, ModelConfig
from metaflax.models.pretrained._sentence_transformers import sentence_embedding

# Folder of a run directory with the files of the pretrained model.
PRETRAINED = "pretrained"
# File of that folder with the digests of hard-linked files.
LINKED = ".linked.json"
# ioctl request of Linux to clone a file.
_FICLONE = 0x40049409
# File of a run directory with versions and with paths of files.
ENVIRONMENT = "environment.json"
# Files of models that are not needed.
FOREIGN = (".h5", ".msgpack", ".onnx", ".ot", ".md", ".py", ".tmp")
# Largest size in bytes of files that are copied; larger ones are linked if possible.
SMALL = 2**24
NOUNS = {
    "model": "pretrained model",
    "path": "data",
    "split_file": "split file",
    "more_train": "additional training data",
    "label_names": "descriptions of classes",
}


def local_paths(config: Any) -> dict[str, str]:
    """Returns the absolute paths of the local files of a config, by setting."""
    if not isinstance(config, Config):
        return {}
    names = {"model": config.model.name, **_data_settings(config)}
    paths = {
        setting: os.path.abspath(os.path.expanduser(name))
        for setting, name in names.items()
        if name
    }
    return {setting: path for setting, path in paths.items() if _exists(path)}


def keep_model(run: Path, model: Path) -> None:
    """Copies, clones or links the files of a pretrained model into a run directory.

    Configuration and tokenizer are copied. Weights are cloned or linked, which takes no
    space, or copied if the file system supports neither. A clone keeps its content when
    the original is rewritten in place; the digest of a linked file is recorded, so that
    `located_model` detects a rewritten one.

    Args:
      run: the run directory.
      model: directory of the network.
    """
    if (run / PRETRAINED).exists():
        return
    embedding = sentence_embedding(model)
    # Older folders of sentence-transformers have the network in a subfolder.
    root = model if embedding is None else embedding.directory
    with _files.atomic_folder(run / PRETRAINED) as folder:
        linked: dict[str, Any] = {}
        for path in {*_model_files(root), *_model_files(model)}:
            target = folder / path.relative_to(root)
            target.parent.mkdir(exist_ok=True)
            if _link_or_copy(path, target):
                content = {"stat": _stat(target), "sha256": _files.file_digest(target)}
                linked[target.relative_to(folder).as_posix()] = content
        if linked:
            _files.write_json(folder / LINKED, linked)


def located_model(config: Config, run: Path) -> ModelConfig:
    """Returns the settings of a run's model with its current path.

    Raises:
      ValueError: if it was a local directory that no longer exists, or if its weights
        were rewritten.
    """
    name, linked = config.model.name, run / PRETRAINED
    if linked.is_dir():
        _check_linked(linked)
        name = str(linked)
    elif "model" in (recorded := _environment(run).get("paths", {})):
        name = _present(recorded["model"], run, "model")
    return dataclasses.replace(config.model, name=name)


def located_data(config: Config, run: Path) -> Config:
    """Returns the config of a run with the current paths of its data.

    Relative paths are relative to the directory in which the run was trained.

    Raises:
      ValueError: if a local file no longer exists.
    """
    recorded = _environment(run).get("paths", {})
    names = {
        setting: _present(recorded[setting], run, setting)
        for setting in _data_settings(config)
        if setting in recorded
    }
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **names))


def _data_settings(config: Config) -> dict[str, str | None]:
    settings = ("path", "split_file", "more_train")
    files = {setting: getattr(config.data, setting) for setting in settings}
    return files | {"label_names": config.data.label_names_file}


def _present(path: str, run: Path, setting: str) -> str:
    """Returns the current path of a file, which may have moved with the run."""
    moved = None
    if was := _environment(run).get("run_directory"):
        moved = os.path.normpath(run / os.path.relpath(path, was))
    for place in (path, moved):
        if place and _exists(place):
            return place
    raise ValueError(
        f"{run}: its {NOUNS[setting]} {path} is gone; put it back, or move it together"
        " with the run."
    )


def _exists(path: str) -> bool:
    return os.path.exists(path) or (glob.has_magic(path) and bool(glob.glob(path)))


def _check_linked(folder: Path) -> None:
    """Raises ValueError for linked files that were rewritten, under either name."""
    for name, recorded in _read_json(folder / LINKED).items():
        path = folder / name
        if not path.is_file() or recorded["stat"] == _stat(path):
            continue
        if recorded["sha256"] != _files.file_digest(path):
            raise ValueError(
                f"{path} was rewritten since the run began, in the file that it is a"
                " link of; put the former weights back, or train a new run."
            )


def _stat(path: Path) -> list[int]:
    """Returns size and modification time, which change when a file is written to."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _environment(run: Path) -> dict[str, Any]:
    return _read_json(run / ENVIRONMENT)


def _read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; an empty one if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _model_files(model: Path) -> list[Path]:
    """Lists the files of a model, including settings of modules in subfolders."""
    paths = [*model.iterdir(), *model.glob("*/config.json")]
    has_safetensors = any(path.suffix == ".safetensors" for path in paths)
    return [
        path
        for path in sorted(paths)
        if path.is_file()
        and path.suffix.lower() not in FOREIGN
        and not any(part.startswith(".") for part in path.relative_to(model).parts)
        and not (path.suffix == ".bin" and has_safetensors)
    ]


def _link_or_copy(path: Path, target: Path) -> bool:
    """Creates a file with the same content; returns whether it is a hard link."""
    path = path.resolve()  # The hub's cache holds symbolic links.
    if path.stat().st_size > SMALL:
        with contextlib.suppress(OSError):  # Not supported by the file system.
            _clone(path, target)
            return False
        with contextlib.suppress(OSError):  # Across file systems, or not supported.
            target.unlink(missing_ok=True)
            os.link(path, target)
            return True
    shutil.copyfile(path, target)
    return False


def _clone(path: Path, target: Path) -> None:
    """Creates a copy-on-write clone of a file.

    Raises:
      OSError: if the file system does not support it.
    """
    try:
        import fcntl
    except ImportError as error:  # Not available on every operating system.
        raise OSError(str(error)) from error
    with path.open("rb") as source, target.open("wb") as file:
        fcntl.ioctl(file.fileno(), _FICLONE, source.fileno())
