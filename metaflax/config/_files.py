"""Configs from Python files, and to and from JSON."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, TypeVar

from metaflax.config._pretraining import PretrainConfig
from metaflax.config._settings import Config

C = TypeVar("C", Config, PretrainConfig)


def load_file(path: str | Path) -> Config:
    """The `config` of a Python file, as under `experiments/`.

    Raises:
      ValueError: if there is no such file, it fails, or it defines no `config`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no config file {path}.")
    spec = importlib.util.spec_from_file_location("metaflax_config", path)
    module = importlib.util.module_from_spec(spec)  # pyright: ignore
    try:
        spec.loader.exec_module(module)  # pyright: ignore
    except Exception as error:  # Whatever the file does wrong.
        raise ValueError(
            f"{path} cannot be run: {type(error).__name__}: {error}."
        ) from error
    config = getattr(module, "config", None)
    if not isinstance(config, Config):
        raise ValueError(f"{path} defines no `config = metaflax.config.Config(...)`.")
    return config


def to_json(config: Config | PretrainConfig) -> str:
    """A config as text, fit for a run directory."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str, kind: type[C] = Config) -> C:
    """The config that `to_json` wrote.

    Args:
      text: what it wrote.
      kind: of what it is a config.

    Returns:
      The config.

    Raises:
      ValueError: if it is not one.

    Examples:
      >>> config = Config()
      >>> from_json(to_json(config)) == config
      True
    """
    try:
        content = json.loads(text)
        return kind(
            **{
                name: type(group)(
                    **{key: _tuples(value) for key, value in content[name].items()}
                )
                for name, group in vars(kind()).items()
            }
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not the config of a run: {error}.") from error


def _tuples(value: Any) -> Any:
    """JSON has no tuples."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def differences(one: C, other: C) -> list[str]:
    """The settings in which two configs differ, as `name: this, not that`."""
    ours, theirs = (dataclasses.asdict(c) for c in (one, other))
    return [
        f"{group}.{name}: {ours[group][name]!r}, not {theirs[group][name]!r}"
        for group in ours
        for name in ours[group]
        if _tuples(ours[group][name]) != _tuples(theirs[group][name])
    ]
