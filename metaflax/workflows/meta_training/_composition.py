"""Composition of a run: a single member, or several that share an encoder."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

from metaflax import base, training, tree
from metaflax import config as config_lib
from metaflax.data.samplers._mixture import Mixture
from metaflax.training import _mixture
from metaflax.workflows.meta_training._members import Member


class Part(NamedTuple):
    """Steps of one member, on the parameters of the run.

    Attributes:
      algorithm: algorithm whose meta-gradient is descended.
      optimizer: the outer optimizer.
      trainable: paths of the parameters that are trained.
      max_shapes: maximum number of batch shapes; None for any number.
    """

    algorithm: base.MetaAlgorithm
    optimizer: optax.GradientTransformation
    trainable: tree.Where
    max_shapes: int | None = None


class Composition(NamedTuple):
    """Members of a run that share its parameters and steps.

    Attributes:
      members: members by name.
      params: initial parameters of the run.
      parts: steps of each trained member.
      member_of: `name = member_of(step)`, the member that a step trains; steps count
        from 0.
      validate: `metrics = validate(params)`, of the parameters of the run.
      score: the metric that ranks checkpoints, higher is better.
      label: adds the member of the step to a log record.
    """

    members: Mapping[str, Member]
    params: Any
    parts: Mapping[str, Part]
    member_of: Callable[[int], str]
    validate: Callable[[Any], dict[str, float]]
    score: str
    label: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda record: record


def single(
    member: Member, settings: config_lib.TrainingConfig, score: str | None = None
) -> Composition:
    """Composes a run of a single member, whose parameters are those of the run.

    Args:
      member: the member.
      settings: settings of the outer loop.
      score: the metric that ranks checkpoints (default: the member's).
    """
    optimizer = outer_optimizer(settings, settings.clip_norm)
    part = Part(member.algorithm, optimizer, list(settings.trains))
    return Composition(
        {member.name: member},
        member.params,
        {member.name: part},
        lambda step: member.name,
        member.validate,
        score or member.score,
    )


# The metric that ranks checkpoints: the mean over the members' scores.
MEAN_SCORE = "score"


def sharing_encoder(
    members: Mapping[str, Member],
    config: config_lib.MixtureConfig,
    sampling: Mixture,
) -> Composition:
    """Composes a run of members that share an encoder.

    Args:
      members: members by name; they share the encoder's parameters only.
      config: config of the mixture.
      sampling: sampler of the member that each step trains.
    """
    settings = config.training
    optimizer = outer_optimizer(settings, clip_norm=None)

    def part(name: str) -> Part:
        member, loss_weight = members[name], config.members[name].share.loss_weight
        return Part(
            _mixture.for_member(member.algorithm, name, loss_weight),
            _mixture.mixture_optimizer(
                optimizer, list(members), name, settings.clip_norm
            ),
            _mixture.member_paths(name, list(settings.trains)),
            member.num_shapes,
        )

    def member_of(step: int) -> str:
        return sampling.member(settings.seed, step)

    def validate(params: Any) -> dict[str, float]:
        metrics, scores = {}, []
        for name, member in members.items():
            of_member = member.validate(_mixture.member_params(params, name))
            metrics |= {f"{name}_{metric}": x for metric, x in of_member.items()}
            scores.append(of_member[member.score])
        return {MEAN_SCORE: float(np.mean(scores)), **metrics}

    def label(record: Mapping[str, Any]) -> Mapping[str, Any]:
        if "loss" in record or "skipped" in record:
            return {**record, "member": member_of(record["step"] - 1)}
        return record

    return Composition(
        members,
        _mixture.shared_params({n: m.params for n, m in members.items()}),
        {name: part(name) for name in members if sampling.weights[name]},
        member_of,
        validate,
        MEAN_SCORE,
        label,
    )


def outer_optimizer(
    settings: config_lib.TrainingConfig, clip_norm: float | None
) -> optax.GradientTransformation:
    """Returns the outer optimizer of a config, with its schedules."""
    warmup = int(settings.warmup * settings.steps)

    def rate(peak: float | None) -> Any:
        if peak is None:
            return None
        return training.schedule(settings.schedule, peak, settings.steps, warmup)

    return training.outer_optimizer(
        settings.optimizer,
        rate(settings.learning_rate),
        head_learning_rate=rate(settings.head_learning_rate),
        inner_learning_rate=rate(settings.hyper_learning_rate),
        weight_decay=settings.weight_decay,
        clip_norm=clip_norm,
    )
