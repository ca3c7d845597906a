"""Meta-training of one encoder on several kinds of tasks."""

import functools
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import training
from metaflax.config import _mixture
from metaflax.data.samplers._mixture import Mixture
from metaflax.reporting._progress import ProgressSink
from metaflax.training._mixture import member_params
from metaflax.training._placement import Placement
from metaflax.training._processes import is_coordinator
from metaflax.workflows.meta_training._composition import Composition, sharing_encoder
from metaflax.workflows.meta_training._members import MODEL, Member, load_members
from metaflax.workflows.meta_training._mixture_card import CARD, mixture_card
from metaflax.workflows.meta_training._outer_loop import (
    Outcome,
    placement_for,
    train_members,
)
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._licences import stated_licence
from metaflax.workflows.runs._load_model import load_model
from metaflax.workflows.runs._run_directory import RunDirectory


def mix(
    config: config_lib.MixtureConfig,
    run_dir: str | Path,
    console: Console | None = None,
    *,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Meta-trains on a mixture, with validation, then meta-tests each member.

    Each step belongs to one member, and changes the encoder and the parameters of that
    member alone. Checkpoints are ranked by the mean over members of each one's first
    metric (accuracy, F1, correlation, or the accuracy of masked tokens), which ranks
    them as the mean gain over the start does. Started again on the same directory it
    resumes from the latest checkpoint.

    Args:
      config: of the mixture.
      run_dir: directory for config, versions, log, checkpoints and results. Its folder
        `model` is the encoder that validated best, for any `--model`, with a model card
        that lists data and licences. `members/NAME` has the files of a run of each
        member, for `evaluate`, `adapt --run` and `finetune --run`, or the folder
        `model` for `pretrain --model`.
      console: console for progress and tables; None to print nothing.
      param_shards: number of devices that share a copy of the parameters, with the
        tasks of a step sharded over all devices; None to use one device.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for an invalid config or data, and for steps that do not fit the
        device, before anything is written; `training.DivergedError` for a loss that
        is not finite.

    Examples:
      >>> from metaflax import config, workflows
      >>> workflows.mix(config.MixtureConfig(), "runs/mixture")
      Traceback (most recent call last):
        ...
      ValueError: the mixture has no members; give one or more.

    References:
      Raffel et al., `Exploring the Limits of Transfer Learning with a Unified
      Text-to-Text Transformer <https://arxiv.org/abs/1910.10683>`_, 2020, section
      3.5.2, for the weights of members by size and temperature.
    """
    console = console_or_quiet(console)
    config_lib.check_mixture(config)
    directory = RunDirectory(run_dir, config_lib.MixtureConfig)
    with directory.reserved(config) as config:
        return _mix(config, directory, console, param_shards)


def _mix(
    config: config_lib.MixtureConfig,
    directory: RunDirectory,
    console: Console,
    param_shards: int | None,
) -> dict[str, Any]:
    model = load_model(config.model)
    members = load_members(config, model, directory)
    num_tasks = math.gcd(*(member.num_tasks for member in members.values()))
    placement = placement_for(num_tasks, param_shards, console)
    sizes = {name: member.size for name, member in members.items()}
    sampling = _mixture.sampling(config, sizes)
    composition = sharing_encoder(members, config, sampling)
    _report(members, sampling, console)
    outcome = _train(composition, config, directory, console, placement)
    directory.write_json("selected.json", outcome.selected)
    target = directory.path / MODEL
    # It exists if the run had finished before.
    if is_coordinator() and not target.exists():
        model.save(target, outcome.params["encoder"])
    steps_of = Counter(map(composition.member_of, range(outcome.steps)))
    results = {
        **outcome.selected,
        "selected_by": [f"valid_{n}_{m.score}" for n, m in members.items()],
        "steps": outcome.steps,
        "steps_of": {name: steps_of[name] for name in members},
        "seconds": outcome.seconds,
        "members": _test(members, outcome, placement, console),
    }
    directory.write_json("results.json", results)
    if is_coordinator():
        licence = stated_licence(model.pretrained.directory)
        card = mixture_card(target.name, config, licence, results)
        (target / CARD).write_text(card, encoding="utf-8")
    console.print(
        f"Mean validation score {outcome.score:.4f} at step {outcome.best_step} of"
        f" {outcome.steps}; the encoder is in {target}.",
        soft_wrap=True,
    )
    return results


def _report(members: Mapping[str, Member], sampling: Mixture, console: Console) -> None:
    """Prints each member's share of the steps and its data."""
    shares = sampling.shares()
    for name, member in members.items():
        console.print(f"{name}, about {100 * shares[name]:.1f} % of the steps:")
        member.report(console)


def _train(
    composition: Composition,
    config: config_lib.MixtureConfig,
    directory: RunDirectory,
    console: Console,
    placement: Placement,
) -> Outcome:
    settings = config.training
    # Batches of members differ in size, so that the progress bar counts steps.
    progress = functools.partial(ProgressSink, console, settings.steps, 1, unit="steps")
    try:
        return train_members(
            composition,
            config,
            settings,
            directory,
            console,
            placement=placement,
            progress=progress,
        )
    except training.DivergedError as error:
        name = composition.member_of(error.step - 1)
        raise training.DivergedError(f"member {name!r}: {error}", error.step) from error


def _test(
    members: Mapping[str, Member],
    outcome: Outcome,
    placement: Placement,
    console: Console,
) -> dict[str, Any]:
    """Tests each member before and after training, and completes its directory."""
    results = {}
    for name, member in members.items():
        before, after = (
            member_params(params, name) for params in (outcome.start, outcome.params)
        )
        results[name] = member.test(before, after, console)
        member.export(after, outcome.best_step, placement)
        member.directory.write_json("results.json", results[name])
    return results
