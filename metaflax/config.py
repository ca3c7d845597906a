"""What a run is made of: frozen dataclasses, and what their names stand for.

The command line, the Python files under `experiments/` and `config.json` of a run
directory all say the same `Config`.
"""

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import optax

from metaflax import algorithms, base, heads, tasks, tree

Count = int | tuple[int, int]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The pretrained encoder and how a text becomes one vector."""

    model: str = "minilm"
    """Directory or hub name of a BERT; `minilm` is all-MiniLM-L6-v2, fetched by pip."""
    pooling: Literal["mean", "first", "pooler"] = "mean"
    """Which hidden states make the vector."""
    standardize: bool = True
    """Whether vectors are centred and of unit length."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of computation; parameters are float32."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Labelled texts and how their classes are split."""

    data: str = ""
    """JSONL, CSV, TSV or Parquet file, saved data set, hub name, or `scored-texts`."""
    task: Literal["classification", "multilabel_classification"] = "classification"
    """Task type: one class a text, or any number of labels."""
    text: str = "text"
    """Column of texts."""
    label: str = "label"
    """Column of labels."""
    unlabelled: Literal["error", "drop"] = "error"
    """What happens to a row whose list of labels is empty."""
    domain: str | None = None
    """Column of domains; each episode is drawn from one."""
    split_file: str | None = None
    """JSON with the names of train, valid and test classes (or domains)."""
    fold: str | None = None
    """Which fold of the split file."""
    split_names: Mapping[str, tuple[str, ...]] | None = None
    """The same names given here, by `train`, `valid` and `test`."""
    split_by: Literal["label", "domain"] = "label"
    """Whether classes or domains are disjoint."""
    split_seed: int = 0
    """Draws a split in halves and quarters where none is given."""
    max_length: int = 128
    """Most tokens of a text."""
    on_long: Literal["error", "truncate"] = "truncate"
    """What happens to a longer one; truncated texts are counted and reported."""


@dataclasses.dataclass(frozen=True)
class EpisodeConfig:
    """Sizes of episodes: a number, or least and most."""

    way: Count = 5
    """Classes of a validation or test episode."""
    shot: Count = 5
    """Support examples a class."""
    queries: Count = 5
    """Query examples a class."""
    train_way: Count | None = None
    """The same in meta-training, where it differs."""
    train_shot: Count | None = None
    """The same in meta-training, where it differs."""
    train_queries: Count | None = None
    """The same in meta-training, where it differs."""

    def training(self) -> "EpisodeConfig":
        """The sizes of meta-training's episodes."""
        return EpisodeConfig(
            way=self.way if self.train_way is None else self.train_way,
            shot=self.shot if self.train_shot is None else self.train_shot,
            queries=self.queries if self.train_queries is None else self.train_queries,
        )


@dataclasses.dataclass(frozen=True)
class AlgorithmConfig:
    """The meta-learning algorithm."""

    algorithm: str = "protonet"
    """maml, fomaml, reptile, anil, protonet, proto_maml, frozen or fine_tuning."""
    head: str | None = None
    """linear, prototypes or label_prototypes; by default what suits the algorithm."""
    temperature: float = 10.0
    """Where the learned factor of prototypes' squared distances begins."""
    adapts: tuple[str, ...] = ("*",)
    """Paths that inner steps change, such as `head` or `encoder/layer_5/*`."""
    inner_optimizer: str = "sgd"
    """Any optimizer of optax."""
    inner_learning_rate: float = 0.05
    """Its rate."""
    num_steps: int = 5
    """Inner steps."""
    eval_num_steps: int | None = None
    """Inner steps at validation and meta-test, where they differ."""
    label_smoothing: float = 0.0
    """Share of a target spread over the other classes."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Whether rare classes count as much as common ones."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The outer loop."""

    steps: int = 500
    """Outer steps at most."""
    tasks_per_step: int = 4
    """Episodes a step."""
    tasks_by: Literal["auto", "scan", "vmap"] | int = "auto"
    """One task after another, all at once, or so many at once."""
    optimizer: str = "adamw"
    """Any optimizer of optax."""
    learning_rate: float = 2e-5
    """Its largest rate."""
    head_learning_rate: float | None = None
    """The same of parameters under `head`, where it differs."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the rate falls after warming up."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.01
    """Of matrices."""
    clip_norm: float | None = 1.0
    """Largest norm of a meta-gradient."""
    trains: tuple[str, ...] = ("*",)
    """Paths that the outer loop changes; `!` takes away."""
    dropout: bool = True
    """Whether the network drops out while it trains."""
    eval_every: int = 50
    """Steps between validations, each of which saves a checkpoint."""
    valid_episodes: int = 200
    """Episodes of a validation, always the same."""
    patience: int | None = 5
    """Validations without improvement that end the run."""
    interpolate: tuple[float, ...] = (1.0,)
    """Shares of the way from pretrained to trained weights, picked on validation."""
    seed: int = 0
    """Draws episodes, new parameters and dropout."""
    tensorboard: bool = False
    """Whether to write TensorBoard events too."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Meta-testing."""

    test_episodes: int = 600
    """Episodes of the test classes, before and after on the same ones."""
    test_seed: int = 1
    """Draws them."""
    batch_episodes: int = 10
    """Episodes scored in one call."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


class Parts(NamedTuple):
    """What an algorithm is made from."""

    encode_fn: base.ApplyFn
    loss_fn: base.LossFn
    init_fn: base.InitFn
    inner_optimizer: optax.GradientTransformation
    head: base.Head
    adapts: tree.Where
    num_steps: int


def _gradient_based(factory: Callable[..., base.MetaAlgorithm]):
    return lambda p: factory(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        p.inner_optimizer,
        head=p.head,
        adapts=p.adapts,
        num_steps=p.num_steps,
    )


def _closed_form(factory: Callable[..., base.MetaAlgorithm]):
    return lambda p: factory(p.encode_fn, p.loss_fn, p.init_fn, head=p.head)


ALGORITHMS: dict[str, Callable[[Parts], base.MetaAlgorithm]] = {
    "maml": _gradient_based(algorithms.maml),
    "fomaml": _gradient_based(algorithms.fomaml),
    "reptile": _gradient_based(algorithms.reptile),
    "anil": lambda p: algorithms.anil(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        p.inner_optimizer,
        head=p.head,
        num_steps=p.num_steps,
    ),
    "protonet": _closed_form(algorithms.protonet),
    "proto_maml": _gradient_based(algorithms.proto_maml),
    "frozen": _closed_form(algorithms.frozen),
    "fine_tuning": _gradient_based(algorithms.fine_tuning),
}

# What has no meta-gradient, and so nothing to meta-train.
BASELINES = ("frozen", "fine_tuning")

PROTOTYPICAL = ("protonet", "proto_maml", "frozen")

HEADS: dict[str, Callable[..., base.Head]] = {
    "linear": lambda num_features, num_classes, temperature: heads.linear(
        num_features, num_classes
    ),
    "prototypes": lambda num_features, num_classes, temperature: heads.prototypes(
        num_classes, temperature=temperature
    ),
    "label_prototypes": lambda num_features, num_classes, temperature: (
        heads.label_prototypes(num_classes, temperature=temperature)
    ),
}

TASKS: dict[str, Callable[..., tasks.TaskType]] = {
    "classification": tasks.classification,
    "multilabel_classification": tasks.multilabel_classification,
}

T = TypeVar("T")


def named(kind: str, table: Mapping[str, T], name: str) -> T:
    """Looks a name up.

    Raises:
      ValueError: with the known names.
    """
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(table)}.")
    return table[name]


def build_task(config: Config) -> tasks.TaskType:
    """The task type a config names."""
    return named("task", TASKS, config.data.task)(
        label_smoothing=config.algorithm.label_smoothing,
        class_weights=config.algorithm.class_weights,
    )


def build_algorithm(
    config: AlgorithmConfig,
    encoder: Any,
    init_fn: base.InitFn,
    task: tasks.TaskType,
    num_classes: int,
    *,
    num_steps: int | None = None,
) -> base.MetaAlgorithm:
    """The algorithm a config names, on an encoder.

    Args:
      config: names and numbers.
      encoder: a `models.Encoder`.
      init_fn: the encoder's parameters, pretrained as a rule.
      task: gives the loss.
      num_classes: N, the most classes of an episode.
      num_steps: inner steps, where they differ from the config's.

    Returns:
      The algorithm.

    Raises:
      ValueError: for an unknown name, or a head that does not serve the task.
    """
    make = named("algorithm", ALGORITHMS, config.algorithm)
    head_name = config.head or _default_head(config.algorithm, task)
    head = named("head", HEADS, head_name)(
        encoder.num_features, num_classes, config.temperature
    )
    task.check_head(head_name, head)
    inner = getattr(optax, config.inner_optimizer, None)
    if inner is None:
        raise ValueError(f"optax has no optimizer {config.inner_optimizer!r}.")
    # Adam's root of zero has no derivative: a NaN in the meta-gradient.
    safe = {"eps_root": 1e-8} if config.inner_optimizer.startswith("adam") else {}
    return make(
        Parts(
            encode_fn=encoder.apply,
            loss_fn=task.loss,
            init_fn=init_fn,
            inner_optimizer=inner(config.inner_learning_rate, **safe),
            head=head,
            adapts=list(config.adapts),
            num_steps=config.num_steps if num_steps is None else num_steps,
        )
    )


def _default_head(algorithm: str, task: tasks.TaskType) -> str:
    if algorithm not in PROTOTYPICAL:
        return "linear"
    return "prototypes" if task.kind == "classes" else "label_prototypes"


def load_file(path: str | Path) -> Config:
    """The `config` of a Python file, as under `experiments/`.

    Raises:
      ValueError: if there is no such file, or it defines no `config`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no config file {path}.")
    spec = importlib.util.spec_from_file_location("metaflax_config", path)
    module = importlib.util.module_from_spec(spec)  # pyright: ignore
    spec.loader.exec_module(module)  # pyright: ignore
    config = getattr(module, "config", None)
    if not isinstance(config, Config):
        raise ValueError(f"{path} defines no `config = metaflax.config.Config(...)`.")
    return config


def to_json(config: Config) -> str:
    """A config as text, fit for a run directory."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """The config that `to_json` wrote.

    Raises:
      ValueError: if it is not one.

    Examples:
      >>> config = Config(episodes=EpisodeConfig(way=(2, 5)))
      >>> from_json(to_json(config)) == config
      True
    """
    try:
        content = json.loads(text)
        return Config(
            **{
                name: type(group)(
                    **{key: _tuples(value) for key, value in content[name].items()}
                )
                for name, group in vars(Config()).items()
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


def differences(one: Config, other: Config) -> list[str]:
    """The settings in which two configs differ, as `name: this, not that`."""
    ours, theirs = (dataclasses.asdict(c) for c in (one, other))
    return [
        f"{group}.{name}: {ours[group][name]!r}, not {theirs[group][name]!r}"
        for group in ours
        for name in ours[group]
        if _tuples(ours[group][name]) != _tuples(theirs[group][name])
    ]
