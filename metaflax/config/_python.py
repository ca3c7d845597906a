"""Serialisation of configs as Python files."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from metaflax.config._settings import Config


def to_python(config: Config) -> str:
    """Formats the settings that differ from defaults as a Python config file.

    Examples:
      >>> from metaflax.config._training_settings import TrainingConfig
      >>> print(to_python(Config(training=TrainingConfig(steps=7))), end="")
      from metaflax.config import Config, TrainingConfig
      <BLANKLINE>
      config = Config(
          training=TrainingConfig(
              steps=7,
          ),
      )
    """
    changed = {
        field.name: (type(group).__name__, settings)
        for field in dataclasses.fields(config)
        if (settings := _changed(group := getattr(config, field.name)))
    }
    names = sorted({"Config", *(kind for kind, _ in changed.values())})
    lines = [f"from metaflax.config import {', '.join(names)}", "", "config = Config("]
    for group, (kind, settings) in changed.items():
        lines.append(f"    {group}={kind}(")
        lines += [f"        {name}={value!r}," for name, value in settings.items()]
        lines.append("    ),")
    return "\n".join([*lines, ")"]) + "\n"


def _changed(settings: Any) -> dict[str, Any]:
    """Returns the settings of a group that differ from their defaults."""
    default, changed = type(settings)(), {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(default, field.name):
            changed[field.name] = dict(value) if isinstance(value, Mapping) else value
    return changed
