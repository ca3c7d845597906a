"""The settings of a search for settings: a run, and what of it is tried out."""

import dataclasses
import difflib
import json
import math
import numbers
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from metaflax import heads, registry
from metaflax.config._check import check
from metaflax.config._factories import resolve_algorithm
from metaflax.config._renamed import current_names
from metaflax.config._settings import Config
from metaflax.config._types import fits, type_name

# What a validation measures hangs on these: scores of different ones do not compare.
# Of `data` the settings of meta-training alone are left.
FIXED = (
    "episodes.way",
    "episodes.shot",
    "episodes.queries",
    "episodes.none_rate",
    "training.valid_episodes",
    "training.seed",
)
OF_TRAINING_DATA = ("data.variants", "data.variant_rate", "data.more_train")

# The least and the most that makes sense of a number, where its type allows more.
BOUNDS: dict[str, tuple[float, float]] = {
    "algorithm.inner_learning_rate": (0, math.inf),
    "algorithm.num_steps": (1, math.inf),
    "algorithm.eval_num_steps": (1, math.inf),
    "algorithm.proximal": (0, math.inf),
    "algorithm.temperature": (0, math.inf),
    "algorithm.strength": (0, math.inf),
    "algorithm.label_smoothing": (0, 1),
    "training.learning_rate": (0, math.inf),
    "training.head_learning_rate": (0, math.inf),
    "training.hyper_learning_rate": (0, math.inf),
    "training.weight_decay": (0, math.inf),
    "training.warmup": (0, 1),
    "training.clip_norm": (0, math.inf),
    "data.variant_rate": (0, 1),
}


class Trial(Protocol):
    """What draws values: a trial of optuna."""

    def suggest_float(
        self, name: str, low: float, high: float, *, log: bool = False
    ) -> float:
        """A number from `low` to `high`."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from `low` to `high`, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of the choices."""
        ...


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers from `low` to `high`, all alike."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked for all of them."""
        return float(self.low), float(self.high)

    def draw(self, trial: Trial, name: str) -> float:
        """One of them."""
        return trial.suggest_float(name, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Numbers from `low` to `high`, every factor alike: for rates and strengths."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked for all of them."""
        return float(self.low), float(self.high)

    def draw(self, trial: Trial, name: str) -> float:
        """One of them."""
        return trial.suggest_float(name, self.low, self.high, log=True)


@dataclasses.dataclass(frozen=True)
class Integers:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked for all of them."""
        return self.low, self.high

    def draw(self, trial: Trial, name: str) -> int:
        """One of them."""
        return trial.suggest_int(name, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of these values, of any type that the setting has."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked: all."""
        return self.values

    def draw(self, trial: Trial, name: str) -> Any:
        """One of them."""
        known = {_as_json(value): value for value in self.values}
        return known[trial.suggest_categorical(name, list(known))]


def _as_json(value: Any) -> str:
    """Serialises a value, numbers of NumPy as those of Python."""
    return json.dumps(value, default=lambda number: number.item())


Range: TypeAlias = Uniform | LogUniform | Integers | Choice


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """A search for the settings of a run that validate best.

    Examples:
      >>> search = SearchConfig(
      ...     base=Config(),
      ...     space={
      ...         "training.learning_rate": LogUniform(1e-5, 1e-3),
      ...         "algorithm.head": Choice(("prototypes", "ridge")),
      ...     },
      ... )
      >>> check_search(search)
    """

    base: Config
    """The run; what `space` does not name is as here."""
    space: Mapping[str, Range]
    """By the dotted names of settings, what is tried of each."""
    trials: int = 20
    """How many settings are tried."""
    seed: int = 0
    """Draws them."""
    prune_after: int = 5
    """From so many trials on, one whose best validation is below the median of theirs
    at the same step is ended."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", current_names(self.space))


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """A config in which settings of dotted names have other values.

    Examples:
      >>> with_settings(Config(), {"training.steps": 7}).training.steps
      7
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in current_names(settings).items():
        group, _, field = name.partition(".")
        groups.setdefault(group, {})[field] = value
    changed = {
        group: dataclasses.replace(getattr(config, group), **values)
        for group, values in groups.items()
    }
    return dataclasses.replace(config, **changed)


def check_search(config: SearchConfig) -> None:
    """Refuses a search whose settings do not exist or cannot have their values.

    Raises:
      ValueError: naming the setting and what it may be.
    """
    for name, count in (("trials", config.trials), ("prune_after", config.prune_after)):
        if count < 1:
            raise ValueError(f"{name} is {count}; give 1 or more.")
    if not config.space:
        raise ValueError(
            "the space of the search is empty; give it a setting, such as"
            ' "training.learning_rate": LogUniform(1e-5, 1e-3).'
        )
    _check_run(config.base)
    kinds = _kinds()
    for name, tried in config.space.items():
        if name not in kinds:
            near = difflib.get_close_matches(_last(name), map(_last, kinds), 3, 0.5)
            known = [known for known in kinds if _last(known) in near]
            raise ValueError(
                f"there is no setting {name!r}"
                + (f"; near it are {', '.join(known)}." if known else ".")
            )
        _refuse_fixed(name)
        _check_range(name, tried)
        for value in tried.ends:
            _check_value(name, kinds[name], value)
            _check_run(with_settings(config.base, {name: value}))


def _kinds() -> dict[str, Any]:
    """The type of every setting, by its dotted name."""
    groups = typing.get_type_hints(Config)
    return {
        f"{group}.{name}": kind
        for group, of_group in groups.items()
        for name, kind in typing.get_type_hints(of_group).items()
    }


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _refuse_fixed(name: str) -> None:
    group = name.partition(".")[0]
    of_data = group == "data" and name not in OF_TRAINING_DATA
    if name in FIXED or of_data or group == "evaluation":
        raise ValueError(
            f"{name} cannot be searched: it changes what is measured, so that scores"
            " would not compare. Set it in `base`."
        )


def _check_range(name: str, tried: Range) -> None:
    if isinstance(tried, Choice):
        if not isinstance(tried.values, tuple) or len(set(map(repr, tried.values))) < 2:
            raise ValueError(
                f"{name} has the choices {tried.values!r}; give a tuple of two or more."
            )
        return
    if not isinstance(tried, Uniform | LogUniform | Integers):
        raise ValueError(
            f"{name} is {tried!r}; give Uniform, LogUniform, Integers or Choice."
        )
    if not tried.low < tried.high < math.inf:
        raise ValueError(
            f"{name} goes from {tried.low} to {tried.high}; give a lower end below a"
            " higher one."
        )
    if isinstance(tried, LogUniform) and tried.low <= 0:
        raise ValueError(
            f"{name} goes from {tried.low}; LogUniform begins above 0, Uniform may"
            " begin there."
        )
    if isinstance(tried, Integers) and not fits(tuple[int, int], tried.ends):
        raise ValueError(f"{name} is {tried!r}; Integers go between whole numbers.")


def _check_value(name: str, kind: Any, value: Any) -> None:
    if not fits(kind, value):
        raise ValueError(
            f"{name} cannot be {value!r}; it is of the type {type_name(kind)}."
        )
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    if isinstance(value, numbers.Real) and not low <= float(value) <= high:
        most = "" if high == math.inf else f" to {high}"
        raise ValueError(f"{name} cannot be {value}; give {low}{most or ' or more'}.")


def _check_run(config: Config) -> None:
    """As far as it can be checked without model and data."""
    check(config)
    algorithm = config.algorithm
    if resolve_algorithm(algorithm.name).is_baseline:
        raise ValueError(
            f"{algorithm.name} is a baseline without a meta-gradient; search"
            " another algorithm."
        )
    if algorithm.head is not None:
        registry.resolve("head", heads.HEADS, algorithm.head)
