"""Former defaults of settings that now follow from the model where they are unset."""

import dataclasses
from typing import Any, TypeVar

# By group and setting.
FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"pooling": "mean", "standardize": True}
}
# Settings that a run records as they followed from its model when it began.
FOLLOWING = {"model": ("pair_encoding",)}

C = TypeVar("C")


def with_former_defaults(config: C, recorded: C) -> C:
    """Gives unset settings the former default, or what followed from the model.

    So the command that began a run resumes it, also one of an earlier version.

    Args:
      config: config of a command.
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
        former |= {
            name: getattr(theirs, name)
            for name in FOLLOWING.get(group, ())
            if getattr(ours, name) is None
        }
        replaced: Any = dataclasses.replace(ours, **former)
        config = dataclasses.replace(config, **{group: replaced})  # pyright: ignore
    return config
