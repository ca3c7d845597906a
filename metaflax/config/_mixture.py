"""Settings of multi-task training on a mixture of members with one encoder."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from metaflax.config._algorithm_settings import AlgorithmConfig
from metaflax.config._check import check
from metaflax.config._data_settings import DataConfig, EpisodeConfig
from metaflax.config._factories import build_task
from metaflax.config._model_settings import ModelConfig, PairEncoding, Pooling
from metaflax.config._names import check_file_name
from metaflax.config._pretraining import (
    LoopConfig,
    NetworkConfig,
    PretrainConfig,
    RawTextConfig,
    check_pretraining,
)
from metaflax.config._settings import Config, EvaluationConfig
from metaflax.config._training_settings import TrainingConfig

if TYPE_CHECKING:
    from metaflax.data.samplers._mixture import Mixture


@dataclasses.dataclass(frozen=True)
class ShareConfig:
    """Sampling weight, loss weight and active steps of a member.

    Examples:
      >>> from metaflax import config
      >>> member = config.TaskMember(
      ...     config.DataConfig(path="pets.csv"),
      ...     share=config.ShareConfig(starts=0.5, ends=0.4),
      ... )
      >>> config.check_mixture(config.MixtureConfig(members={"pets": member}))
      Traceback (most recent call last):
        ...
      ValueError: 'pets' takes part from 0.5 to 0.4 of the run; give shares from 0 ...
    """

    weight: float | None = None
    """Weight with which training steps sample the member, set for all members or none;
    by default it follows from the size of the member's data and the temperature of the
    mixture. Any member may have weight 0: it is validated and tested only."""
    loss_weight: float = 1.0
    """Factor of the member's loss, and thereby of its gradients."""
    starts: float = 0.0
    """Share of the run's steps after which the member is first trained on."""
    ends: float = 1.0
    """Share of the run's steps after which the member is no longer trained on."""


@dataclasses.dataclass(frozen=True)
class TaskMember:
    """A member that is meta-trained on episodes of a task type.

    Examples:
      >>> from metaflax import config
      >>> pets = config.TaskMember(
      ...     config.DataConfig(path="pets.csv"), share=config.ShareConfig(weight=2.0)
      ... )
      >>> stars = config.TaskMember(config.DataConfig("stars.csv", task="regression"))
      >>> members = {"pets": pets, "stars": stars}
      >>> config.check_mixture(config.MixtureConfig(members=members))
      Traceback (most recent call last):
        ...
      ValueError: the weight is given of 'pets' and not of the other members; give ...
    """

    data: DataConfig
    """Data, task type and split of the member."""
    episodes: EpisodeConfig = dataclasses.field(default_factory=EpisodeConfig)
    """Sizes of the member's episodes."""
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    """Meta-learning algorithm of the member."""
    pooling: Pooling | None = None
    """Pooling of hidden states for the member (default: that of the mixture)."""
    pair_encoding: PairEncoding | None = None
    """Encoding of pairs of texts for the member (default: that of the mixture)."""
    capitals: bool | None = None
    """Whether features of words say that they begin with a capital (default: that of
    the mixture)."""
    valid_episodes: int | None = None
    """Episodes per validation of the member (default: that of the mixture)."""
    share: ShareConfig = ShareConfig()
    """How much of the run it gets."""


@dataclasses.dataclass(frozen=True)
class TextMember:
    """A member that is trained by masked language modelling on raw text.

    Examples:
      >>> from metaflax import config
      >>> pets = config.TaskMember(config.DataConfig(path="pets.csv"))
      >>> notes = config.TextMember(config.RawTextConfig("notes.txt", mask_rate=0))
      >>> members = {"pets": pets, "notes": notes}
      >>> config.check_mixture(config.MixtureConfig(members=members))
      Traceback (most recent call last):
        ...
      ValueError: member 'notes': mask_rate is 0; give a share between 0 and 1.
    """

    text: RawTextConfig
    """Raw text and its masking."""
    rows_per_step: int = 32
    """Rows of tokens per training step of the member."""
    rows_at_once: int | None = None
    """Rows per forward and backward pass, to save memory (default: all of a step)."""
    valid_rows: int = 256
    """Maximum number of held-out rows per validation, always the same ones."""
    share: ShareConfig = ShareConfig()
    """How much of the run it gets."""


Member: TypeAlias = TaskMember | TextMember


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """Config of a training run on a mixture of members.

    Examples:
      >>> from metaflax import config
      >>> member = config.TaskMember(config.DataConfig(path="pets.csv"))
      >>> config.check_mixture(config.MixtureConfig(members={"pets": member}))
      >>> config.check_mixture(config.MixtureConfig())
      Traceback (most recent call last):
        ...
      ValueError: the mixture has no members; give one or more.
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """Pretrained encoder that all members share."""
    members: Mapping[str, Member] = dataclasses.field(default_factory=dict)
    """Members of the mixture by name."""
    temperature: float = 1.0
    """Temperature of the default weights of members: data of n examples have the weight
    n to the power of 1 / temperature."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """Settings of the outer loop; each step trains on one member."""
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    """Settings of meta-testing, on the test episodes of each member."""


def run_of(config: MixtureConfig, name: str) -> Config:
    """Returns the config of a single run on a member with episodes."""
    member = config.members[name]
    assert isinstance(member, TaskMember)
    capitals = member.capitals
    of_member = {
        "pooling": member.pooling or config.model.pooling,
        "pair_encoding": member.pair_encoding or config.model.pair_encoding,
        "capitals": config.model.capitals if capitals is None else capitals,
    }
    training, valid_episodes = config.training, member.valid_episodes
    if valid_episodes is not None:
        training = dataclasses.replace(training, valid_episodes=valid_episodes)
    return Config(
        model=dataclasses.replace(config.model, **of_member),
        data=member.data,
        episodes=member.episodes,
        algorithm=member.algorithm,
        training=training,
        evaluation=config.evaluation,
    )


def pretraining_of(config: MixtureConfig, name: str) -> PretrainConfig:
    """Returns the config of pretraining on a member with raw text."""
    member, model, loop = config.members[name], config.model, config.training
    assert isinstance(member, TextMember)
    return PretrainConfig(
        network=NetworkConfig(
            model=model.name,
            dtype=model.dtype,
            layer_loop=model.layer_loop,
            remat=model.remat,
        ),
        text=member.text,
        training=LoopConfig(
            steps=loop.steps,
            rows_per_step=member.rows_per_step,
            rows_at_once=member.rows_at_once,
            optimizer=loop.optimizer,
            learning_rate=loop.learning_rate,
            schedule=loop.schedule,
            warmup=loop.warmup,
            weight_decay=loop.weight_decay,
            clip_norm=loop.clip_norm,
            dropout=loop.dropout,
            eval_every=loop.eval_every,
            valid_rows=member.valid_rows,
            patience=loop.patience,
            max_skipped_steps=loop.max_skipped_steps,
            seed=loop.seed,
        ),
    )


def sampling(config: MixtureConfig, sizes: Mapping[str, int]) -> "Mixture":
    """Builds the distribution of members over training steps.

    Args:
      config: config of the mixture.
      sizes: number of examples by member.

    Raises:
      ValueError: if shares are invalid, or no member is active at a step.
    """
    from metaflax.data.samplers._mixture import Mixture, temperature_weights

    shares = {name: member.share for name, member in config.members.items()}
    unnamed = {n: sizes[n] for n, share in shares.items() if share.weight is None}
    return Mixture(
        weights=temperature_weights(unnamed, config.temperature)
        | {n: share.weight for n, share in shares.items() if share.weight is not None},
        spans={name: (share.starts, share.ends) for name, share in shares.items()},
        num_steps=config.training.steps,
    )


def check_mixture(config: MixtureConfig) -> None:
    """Raises ValueError if a setting of a mixture is invalid.

    Args:
      config: settings of a mixture.

    Raises:
      ValueError: with the member, the setting and its allowed values.

    Examples:
      >>> from metaflax import config
      >>> model = config.ModelConfig(adapter_size=8)
      >>> pets = config.TaskMember(config.DataConfig(path="pets.csv"))
      >>> config.check_mixture(config.MixtureConfig(model, {"pets": pets}))
      Traceback (most recent call last):
        ...
      ValueError: a mixture saves its encoder in Hugging Face's format, which has ...
    """
    if not config.members:
        raise ValueError("the mixture has no members; give one or more.")
    if config.model.adapter_size or config.model.context_size:
        raise ValueError(
            "a mixture saves its encoder in Hugging Face's format, which has no place"
            " for adapters and context vectors; set adapter_size and context_size to 0."
        )
    for name, member in config.members.items():
        try:
            _check_member(config, name, member)
        except ValueError as error:
            raise ValueError(f"member {name!r}: {error}") from error
    _check_distinct(config.members)
    weighted = {
        n: m.share.weight for n, m in config.members.items() if m.share.weight != 0
    }
    if None in weighted.values() and set(weighted.values()) != {None}:
        named = [name for name, weight in weighted.items() if weight is not None]
        raise ValueError(
            f"the weight is given of {', '.join(map(repr, named))} and not of the other"
            " members; give one of each, or of none."
        )
    sampling(config, dict.fromkeys(config.members, 1))


def _check_distinct(names: Iterable[str]) -> None:
    """Raises ValueError for names that are equal on case-insensitive file systems."""
    by_folder: dict[str, str] = {}
    for name in names:
        folder = unicodedata.normalize("NFC", name).casefold()
        other = by_folder.setdefault(folder, name)
        if other != name:
            raise ValueError(
                f"the members {other!r} and {name!r} would share a folder on a"
                " case-insensitive file system; give names that differ in letters."
            )


def _check_member(config: MixtureConfig, name: str, member: Member) -> None:
    check_file_name(name)
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise ValueError(
            "the name is also that of a folder; take letters, digits, _ and -."
        )
    factor = member.share.loss_weight
    if not 0 < factor < float("inf"):
        raise ValueError(f"loss_weight is {factor}; give a number above 0.")
    if isinstance(member, TextMember):
        if config.model.pooling == "pooler":
            raise ValueError(
                "masked language modelling does not use pooling 'pooler'; take"
                " another pooling for the mixture."
            )
        check_pretraining(pretraining_of(config, name))
        return
    run = run_of(config, name)
    if build_task(run).texts is not None:
        raise ValueError(
            f"{member.data.task} needs a generative model, and members share one"
            " encoder; train it in a separate run."
        )
    if (run.model.pooling == "pooler") != (config.model.pooling == "pooler"):
        raise ValueError(
            f"pooling is {run.model.pooling!r}, and"
            f" {config.model.pooling or 'default'!r} that of"
            " the mixture; 'pooler' has weights, so that all members take it or none."
        )
    check(run)
