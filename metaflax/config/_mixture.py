"""The settings of a run that mixes kinds of tasks over one encoder."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from metaflax.config._check import check
from metaflax.config._factories import build_task
from metaflax.config._names import check_file_name
from metaflax.config._pretraining import (
    LoopConfig,
    NetworkConfig,
    PretrainConfig,
    RawTextConfig,
    check_pretraining,
)
from metaflax.config._settings import (
    AlgorithmConfig,
    Config,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    ModelConfig,
    Pooling,
    TrainingConfig,
)

if TYPE_CHECKING:
    from metaflax import data


@dataclasses.dataclass(frozen=True)
class ShareConfig:
    """How much of a run a member gets, and when."""

    weight: float | None = None
    """How often a step is its, beside the weights of the others. Given for all members
    or for none, whose weights then come from the sizes of their data and the mixture's
    temperature; 0, for any, where it is validated and tested and never trained on."""
    loss_weight: float = 1.0
    """Factor of its loss, and thereby of its gradients."""
    starts: float = 0.0
    """Share of the run's steps before which it takes no part."""
    ends: float = 1.0
    """Share of the run's steps from which on it takes no part any more."""


@dataclasses.dataclass(frozen=True)
class TaskMember:
    """A member whose steps are episodes: tasks of a type, smlmt among them."""

    data: DataConfig
    """Texts, task type and split."""
    episodes: EpisodeConfig = dataclasses.field(default_factory=EpisodeConfig)
    """Sizes of episodes."""
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    """How it is meta-learned."""
    pooling: Pooling | None = None
    """Which hidden states it reads, where that differs from the mixture's model."""
    valid_episodes: int | None = None
    """Episodes of a validation, where they differ from the mixture's."""
    share: ShareConfig = ShareConfig()
    """How much of the run it gets."""


@dataclasses.dataclass(frozen=True)
class TextMember:
    """A member whose steps are rows of raw text: which words were masked?"""

    text: RawTextConfig
    """Raw text and how words of it are hidden."""
    rows_per_step: int = 32
    """Rows a step."""
    rows_at_once: int | None = None
    """How many of them are worked on together, where memory is short."""
    valid_rows: int = 256
    """Held-out rows that are scored at most, always the same."""
    share: ShareConfig = ShareConfig()
    """How much of the run it gets."""


Member: TypeAlias = TaskMember | TextMember


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """A whole run on a mixture."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """The encoder that all members share."""
    members: Mapping[str, Member] = dataclasses.field(default_factory=dict)
    """What is mixed, by name."""
    temperature: float = 1.0
    """Of the weights that no member names: data sets of n examples have the weight n to
    the power of 1 / temperature."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """The outer loop; each step is one member's."""
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    """Meta-testing, of each member on its own test episodes."""


def run_of(config: MixtureConfig, name: str) -> Config:
    """The run that a member with episodes would be by itself."""
    member = config.members[name]
    assert isinstance(member, TaskMember)
    pooling = member.pooling or config.model.pooling
    training, own = config.training, member.valid_episodes
    if own is not None:
        training = dataclasses.replace(training, valid_episodes=own)
    return Config(
        model=dataclasses.replace(config.model, pooling=pooling),
        data=member.data,
        episodes=member.episodes,
        algorithm=member.algorithm,
        training=training,
        evaluation=config.evaluation,
    )


def pretraining_of(config: MixtureConfig, name: str) -> PretrainConfig:
    """The pretraining that a member with rows would be by itself."""
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


def sampling(config: MixtureConfig, sizes: Mapping[str, int]) -> "data.Mixture":
    """Which member each step trains.

    Args:
      config: of the mixture.
      sizes: examples by member.

    Raises:
      ValueError: if shares are no such, or leave a step to nobody.
    """
    from metaflax import data

    shares = {name: member.share for name, member in config.members.items()}
    unnamed = {n: sizes[n] for n, share in shares.items() if share.weight is None}
    return data.Mixture(
        weights=data.temperature_weights(unnamed, config.temperature)
        | {n: share.weight for n, share in shares.items() if share.weight is not None},
        spans={name: (share.starts, share.ends) for name, share in shares.items()},
        num_steps=config.training.steps,
    )


def check_mixture(config: MixtureConfig) -> None:
    """Refuses settings that make no run.

    Raises:
      ValueError: naming the member, the setting and what it may be.
    """
    if not config.members:
        raise ValueError("the mixture has no members; give one or more.")
    if config.model.adapter_size or config.model.context_size:
        raise ValueError(
            "a mixture leaves its encoder in Hugging Face's format, which has no place"
            " for adapters and context vectors; set adapter_size and context_size to 0."
        )
    for name, member in config.members.items():
        try:
            _check_member(config, name, member)
        except ValueError as error:
            raise ValueError(f"member {name!r}: {error}") from error
    _check_apart(config.members)
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


def _check_apart(names: Iterable[str]) -> None:
    """Refuses names that are one where capitals do not count, as in many folders."""
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise ValueError(
                f"the members {other!r} and {name!r} would share a folder where"
                " capitals do not count; give names that differ otherwise."
            )


def _check_member(config: MixtureConfig, name: str, member: Member) -> None:
    check_file_name(name)
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise ValueError(
            "the name is one of a folder too; take letters, digits, _ and -."
        )
    factor = member.share.loss_weight
    if not 0 < factor < float("inf"):
        raise ValueError(f"loss_weight is {factor}; give a number above 0.")
    if isinstance(member, TextMember):
        if config.model.pooling == "pooler":
            raise ValueError(
                "masked words have no use for the weights of pooling 'pooler'; take"
                " another pooling for the mixture."
            )
        check_pretraining(pretraining_of(config, name))
        return
    run = run_of(config, name)
    if build_task(run).texts is not None:
        raise ValueError(
            f"{member.data.task} needs a generative model, and members share one"
            " encoder; train it in a run of its own."
        )
    if (run.model.pooling == "pooler") != (config.model.pooling == "pooler"):
        raise ValueError(
            f"pooling is {run.model.pooling!r}, and {config.model.pooling!r} that of"
            " the mixture; 'pooler' has weights of its own, so that all members take it"
            " or none."
        )
    check(run)
