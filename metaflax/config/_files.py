"""Configs in Python files and in JSON."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from metaflax.config._mixture import MixtureConfig
from metaflax.config._pretraining import PretrainConfig
from metaflax.config._search import SearchConfig
from metaflax.config._settings import Config
from metaflax.config._types import misfits

C = TypeVar("C", Config, PretrainConfig, MixtureConfig)
# Configs that a Python file may define.
F = TypeVar("F", Config, PretrainConfig, MixtureConfig, SearchConfig)


def load_file(path: str | Path, kind: type[F] = Config) -> F:
    r"""Loads the `config` of a Python file, such as those in `experiments/`.

    Args:
      path: path of the file; a `.json` file holds the output of `to_json`.
      kind: type of the config.

    Returns:
      The config.

    Raises:
      ValueError: if the file does not exist, fails, or defines no `config` of the type.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import config
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "anil.py"
      ...     _ = path.write_text(
      ...         "from metaflax.config import AlgorithmConfig, Config\n"
      ...         "config = Config(algorithm=AlgorithmConfig(name='anil'))\n"
      ...     )
      ...     settings = config.load_file(path)
      >>> settings.algorithm.name
      'anil'
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no config file {path}.")
    if path.suffix == ".json" and kind is not SearchConfig:
        try:
            return from_json(path.read_text(encoding="utf-8"), kind)  # pyright: ignore
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    module = types.ModuleType("metaflax_config")
    module.__file__ = str(path)
    try:
        # Compiled each time, since cached bytecode may be older than the file.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except Exception as error:  # The file may raise anything.
        message = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{path} cannot be run: {type(error).__name__}: {message}."
        ) from error
    config = getattr(module, "config", None)
    if not isinstance(config, kind):
        raise ValueError(
            f"{path} defines no `config = metaflax.config.{kind.__name__}(...)`."
        )
    if wrong := misfits(config):
        raise ValueError(f"{path}: {wrong[0]}.")
    return config


def to_json(config: Config | PretrainConfig | MixtureConfig) -> str:
    """Formats a config as JSON, for a run directory."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str, kind: type[C] = Config) -> C:
    """Parses a config from the output of `to_json`.

    Args:
      text: output of `to_json`.
      kind: type of the config.

    Returns:
      The config.

    Raises:
      ValueError: if the text is no config of the type.

    Examples:
      >>> import dataclasses, json
      >>> from metaflax.config import Config, from_json
      >>> config = Config()
      >>> from_json(json.dumps(dataclasses.asdict(config))) == config
      True
    """
    try:
        content = json.loads(text)
        whole = {field.name: content[field.name] for field in dataclasses.fields(kind)}
        config = _read(kind, whole)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split())  # Names may hold line breaks.
        raise ValueError(f"this is not the config of a run: {reason}.") from error
    if wrong := misfits(config):
        raise ValueError(f"this is not the config of a run: {wrong[0]}.")
    return config


def _read(kind: Any, content: Any) -> Any:
    """Converts a JSON value to a type."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _read(hints.get(name), x) for name, x in content.items()})
    choices = [k for k in typing.get_args(kind) if dataclasses.is_dataclass(k)]
    if isinstance(kind, types.UnionType) and choices:
        fitting = [k for k in choices if _has(k, content)]
        if not fitting:
            raise TypeError(f"nothing has the settings {', '.join(map(repr, content))}")
        return _read(fitting[0], content)
    if typing.get_origin(kind) is Mapping and content is not None:
        value_type = typing.get_args(kind)[1]
        return {name: _read(value_type, value) for name, value in content.items()}
    return _tuples(content)


def _has(kind: Any, content: Mapping[str, Any]) -> bool:
    return set(content) == {field.name for field in dataclasses.fields(kind)}


def _tuples(value: Any) -> Any:
    """Converts lists to tuples, which JSON does not have."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def differences(one: C, other: C) -> list[str]:
    """Lists the settings that differ between two configs, as `name: this, not that`."""
    return list(_differences("", one, other))


def _differences(name: str, one: Any, other: Any) -> Iterator[str]:
    ours, theirs = _settings(one), _settings(other)
    if ours is None or theirs is None:
        if _tuples(one) != _tuples(other):
            yield f"{name}: {one!r}, not {other!r}"
    elif set(ours) != set(theirs):
        yield f"{name}: {', '.join(ours)}, not {', '.join(theirs)}"
    else:
        for part, value in ours.items():
            inner = f"{name}.{part}" if name else part
            yield from _differences(inner, value, theirs[part])


def _settings(value: Any) -> Mapping[str, Any] | None:
    """Returns the settings of a group by name; None for a single setting."""
    if dataclasses.is_dataclass(value):
        return vars(value)
    groups = isinstance(value, Mapping) and all(
        map(dataclasses.is_dataclass, value.values())
    )
    return value if groups else None
