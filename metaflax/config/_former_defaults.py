"""Former defaults of settings that now follow from the model where they are unset."""

import dataclasses
from typing import Any, TypeVar

# By group and setting.
FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"pooling": "mean", "standardize": True}
}

C = TypeVar("C")


def with_former_defaults(config: C, recorded: C) -> C:
    """Gives unset settings the former default, where a run recorded it.

    So the command that began a run of an earlier version resumes it.

    Args:
      config: of a command.
      recorded: the config in the run directory.

    Examples:
      >>> from metaflax.config import Config, ModelConfig
      >>> recorded = Config(model=ModelConfig(pooling="mean", standardize=True))
      >>> with_former_defaults(Config(), recorded).model.pooling
      'mean'
      >>> with_former_defaults(Config(), Config()).model.pooling is None
      True
    """
    for group, defaults in FORMER_DEFAULTS.items():
        ours, theirs = (getattr(each, group, None) for each in (config, recorded))
        if ours is None or theirs is None:
            continue
        former = {
            name: value
            for name, value in defaults.items()
            if getattr(ours, name) is None and getattr(theirs, name) == value
        }
        replaced: Any = dataclasses.replace(ours, **former)
        config = dataclasses.replace(config, **{group: replaced})  # pyright: ignore
    return config
