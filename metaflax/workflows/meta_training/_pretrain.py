"""Pretraining of a masked language model on raw text."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import training
from metaflax.config._pretraining import check_pretraining
from metaflax.reporting._progress import ProgressSink
from metaflax.training._placement import Placement
from metaflax.workflows.meta_training._composition import single
from metaflax.workflows.meta_training._members import TextMember
from metaflax.workflows.meta_training._mlm_evaluator import load_network
from metaflax.workflows.meta_training._outer_loop import (
    Outcome,
    placement_for,
    train_members,
)
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._run_directory import RunDirectory

# The metric that ranks checkpoints; perplexity falls as it rises.
SCORE = "log_likelihood"


def pretrain(
    config: config_lib.PretrainConfig,
    run_dir: str | Path,
    console: Console | None = None,
    *,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Trains an encoder as a masked language model, and scores held-out text.

    Started again on the same directory it resumes from the latest checkpoint.

    Args:
      config: config of the run.
      run_dir: directory for config, versions, costs of steps, log, checkpoints and
        results; its folder `model` is the masked language model that scored best, for
        `train`.
      console: console for progress; None to print nothing.
      param_shards: number of devices that share a copy of the parameters, with the
        tasks of a step (`rows_at_once` rows each) sharded over all devices; None to use
        one device.

    Returns:
      The content of `results.json`: `perplexity` and `accuracy` of masked tokens of
      held-out text, `before` and `after`.

    Raises:
      ValueError: for an invalid config or text, and for steps that do not fit the
        device, before anything is written; `training.DivergedError` for a loss that
        is not finite.

    Examples:
      >>> from metaflax import config, workflows
      >>> text = config.RawTextConfig("notes.txt", mask_rate=1.5)
      >>> workflows.pretrain(config.PretrainConfig(text=text), "runs/pretrained")
      Traceback (most recent call last):
        ...
      ValueError: mask_rate is 1.5; give a share between 0 and 1.

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for Language
      Understanding <https://arxiv.org/abs/1810.04805>`_, 2019; here whole words are
      masked, and there is no prediction of the next sentence.
    """
    console = console_or_quiet(console)
    check_pretraining(config)
    directory = RunDirectory(run_dir, config_lib.PretrainConfig)
    with directory.reserved(config) as config:
        return _pretrain(config, directory, console, param_shards)


def _pretrain(
    config: config_lib.PretrainConfig,
    directory: RunDirectory,
    console: Console,
    param_shards: int | None,
) -> dict[str, Any]:
    member = TextMember(config, load_network(config), directory)
    placement = placement_for(member.num_tasks, param_shards, console)
    member.report(console)
    outcome = _train(member, config, directory, console, placement)
    directory.write_json("selected.json", {"best_step": outcome.best_step})
    before, after = member.validate(outcome.start), member.validate(outcome.params)
    results = {
        "best_step": outcome.best_step,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        **{
            name: {"before": before[name], "after": after[name]}
            for name in ("perplexity", "accuracy")
        },
    }
    directory.write_json("results.json", results)
    member.export(outcome.params)
    console.print(
        f"Perplexity of masked tokens of held-out text: {before['perplexity']:.2f}"
        f" before, {after['perplexity']:.2f} after; the model is in"
        f" {member.model_directory}.",
        soft_wrap=True,
    )
    return results


def _train(
    member: TextMember,
    config: config_lib.PretrainConfig,
    directory: RunDirectory,
    console: Console,
    placement: Placement,
) -> Outcome:
    settings = _outer_settings(config.training)
    progress = functools.partial(
        ProgressSink,
        console,
        settings.steps,
        config.training.rows_per_step,
        doing="pretraining",
        unit="rows",
    )
    try:
        return train_members(
            single(member, settings, SCORE),
            config,
            settings,
            directory,
            console,
            placement=placement,
            progress=progress,
        )
    except training.DivergedError as error:  # Its message is about meta-training.
        raise training.DivergedError(
            "the loss of masked tokens is not finite; the last good checkpoint is"
            " kept. Lower learning_rate, or raise warmup.",
            error.step,
        ) from error


def _outer_settings(loop: config_lib.LoopConfig) -> config_lib.TrainingConfig:
    """Converts the settings of pretraining to settings of the outer loop."""
    names = {field.name for field in dataclasses.fields(config_lib.TrainingConfig)}
    shared = {name: x for name, x in dataclasses.asdict(loop).items() if name in names}
    return config_lib.TrainingConfig(**shared)
