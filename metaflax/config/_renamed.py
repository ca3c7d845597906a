"""Former names of settings, accepted for one release with a warning."""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

# Current dotted names of settings, by their former ones.
RENAMED = {
    "algorithm.algorithm": "algorithm.name",
    "data.data": "data.path",
    "model.layers_by": "model.layer_loop",
    "model.model": "model.name",
    "network.layers_by": "network.layer_loop",
    "training.most_skipped": "training.max_skipped_steps",
    "training.tasks_by": "training.task_loop",
}

# Settings that became others, with the value that stands for the former one.
REPLACED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "training.tensorboard": (
        "training.log_sinks",
        lambda on: ("tensorboard",) if on else (),
    ),
}

C = TypeVar("C")


def current_name(name: str) -> str:
    """Returns the current dotted name of a setting; warns if `name` is a former one."""
    current = REPLACED[name][0] if name in REPLACED else RENAMED.get(name, name)
    if current != name:
        warnings.warn(
            f"the setting {name} is now {current}; its former name will be refused"
            " from the next release on.",
            FutureWarning,
            stacklevel=3,
        )
    return current


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping by dotted names of settings with the current names.

    Raises:
      ValueError: if a setting is given under both its names.
    """
    renamed: dict[str, Any] = {}
    for name, value in settings.items():
        current = current_name(name)
        if current in renamed or (current != name and current in settings):
            raise ValueError(
                f"the setting {current} is given twice, once by a former name; give it"
                " once."
            )
        convert = REPLACED[name][1] if name in REPLACED else None
        renamed[current] = value if convert is None else convert(value)
    return renamed


def accepts_former_names(group: str) -> Callable[[type[C]], type[C]]:
    """Decorates a dataclass of settings to take former names as keyword arguments.

    Args:
      group: prefix of its settings' dotted names, such as `algorithm`.
    """

    def decorate(cls: type[C]) -> type[C]:
        init = cls.__init__

        @functools.wraps(init)
        def init_by_current_names(self: C, *args: Any, **kwargs: Any) -> None:
            dotted = {f"{group}.{name}": value for name, value in kwargs.items()}
            if not dotted.keys().isdisjoint(RENAMED | REPLACED):
                dotted = current_names(dotted)
            init(
                self,
                *args,
                **{name.partition(".")[2]: value for name, value in dotted.items()},
            )

        cls.__init__ = init_by_current_names
        return cls

    return decorate
