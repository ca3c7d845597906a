"""Pretraining on raw text: which words were masked?"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import base, profiling, reporting, training
from metaflax import config as config_lib
from metaflax.workflows.meta_training._device_placement import placement_for
from metaflax.workflows.meta_training._loop import fit_within
from metaflax.workflows.meta_training._mlm_batches import HiddenRows
from metaflax.workflows.meta_training._mlm_evaluator import (
    MaskedWordScorer,
    Network,
    as_algorithm,
    load_network,
    save_network,
)
from metaflax.workflows.meta_training._step_costs import StepCosts
from metaflax.workflows.runs._run_directory import RunDirectory

# The folder of a run where its model is left.
MODEL = "model"
# What model selection follows, more is better; perplexity falls with it.
SCORE = "log_likelihood"


def pretrain(
    config: config_lib.PretrainConfig,
    run_dir: str | Path,
    console: Console,
    *,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Trains a BERT to say which words were masked, and scores held-out text.

    Started again on the same directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, what steps cost, log, checkpoints, results, and in
        its folder `model` the `BertForMaskedLM` that scored best, for `train --model`.
      console: where progress goes.
      param_shards: how many devices share a copy of the parameters, where all devices
        share the tasks of a step, `rows_at_once` rows each; None for one device alone.

    Returns:
      The content of `results.json`: `perplexity` and `accuracy` of masked words of
      held-out text, `before` and `after`.

    Raises:
      ValueError: for anything wrong with config or text, and for steps that do not fit
        the device, before the directory is touched; `training.DivergedError` for a loss
        that is not finite.
    """
    config_lib.check_pretraining(config)
    directory = RunDirectory(run_dir, config_lib.PretrainConfig)
    directory.check(config)
    network = load_network(config)
    rows = HiddenRows.of(config.text, config.training.seed, network.tokenizer)
    costs = StepCosts(directory, console)
    placement = placement_for(_num_tasks(config), param_shards, console)
    step, state = _outer_loop(config, network, costs, placement)
    batches = _Batches(config, rows, placement)
    scorer = MaskedWordScorer(
        network.model, rows, config.training.valid_rows, _at_once(config)
    )
    console.print(rows.summary())
    if not directory.finished:
        # Refused here, if at all: nothing is written yet.
        step.compiled(state, batches.transfer(next(batches.of(0))))
    directory.begin(config)
    costs.write()
    started = time.perf_counter()
    before = scorer.mean(network.params)
    fitted = _fit(config, batches, step, state, scorer, directory, console)
    after = scorer.mean(fitted.params)
    directory.write_json("selected.json", {"best_step": fitted.stopping.best_step})
    results = {
        "best_step": fitted.stopping.best_step,
        "steps": fitted.steps,
        "seconds": round(time.perf_counter() - started, 1),
        **{
            name: {"before": before[name], "after": after[name]}
            for name in ("perplexity", "accuracy")
        },
    }
    directory.write_json("results.json", results)
    if training.is_coordinator():
        save_network(
            directory.path / MODEL, network.config, fitted.params, network.directory
        )
    console.print(
        f"perplexity of masked words of held-out text: {before['perplexity']:.2f}"
        f" before, {after['perplexity']:.2f} after; the model is in"
        f" {directory.path / MODEL}.",
        soft_wrap=True,
    )
    return results


def _outer_loop(
    config: config_lib.PretrainConfig,
    network: Network,
    costs: StepCosts,
    placement: training.Placement,
) -> tuple[training.FittedStep, training.TrainState]:
    chosen = config.training
    warmup = int(chosen.warmup * chosen.steps)
    optimizer = training.outer_optimizer(
        chosen.optimizer,
        training.schedule(chosen.schedule, chosen.learning_rate, chosen.steps, warmup),
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
    )
    key = jax.random.key(chosen.seed, impl="rbg")
    state = training.create(network.params, optimizer, key)
    algorithm = as_algorithm(network.model)
    step = training.FittedStep(
        lambda task_loop: training.make_step(
            algorithm,
            optimizer,
            task_loop=task_loop,
            dropout=chosen.dropout,
            skips=chosen.max_skipped_steps > 0,
            mesh=placement.mesh,
        ),
        "scan",
        mesh=placement.mesh,
        free_memory=profiling.free_memory,
        on_compiled=costs,
    )
    return step, placement.place(state)


def _fit(
    config: config_lib.PretrainConfig,
    batches: "_Batches",
    step: training.FittedStep,
    state: training.TrainState,
    scorer: MaskedWordScorer,
    directory: RunDirectory,
    console: Console,
) -> training.FitResult:
    chosen = config.training

    def progress(resumed: int) -> training.Sink:
        return reporting.ProgressSink(
            console,
            chosen.steps,
            chosen.rows_per_step,
            resumed,
            doing="pretraining",
            unit="rows",
        )

    try:
        return fit_within(
            directory,
            console,
            step,
            state,
            batches.of,
            scorer.mean,
            chosen,
            score=SCORE,
            progress=progress,
            transfer=batches.transfer,
            placement=batches.placement,
        )
    except training.DivergedError as error:  # Which speaks of meta-training.
        raise training.DivergedError(
            "the loss of masked words is not finite; the last good checkpoint is"
            " kept. Lower learning_rate, or raise warmup.",
            error.step,
        ) from error


class _Batches(NamedTuple):
    """The batches of a run, and how they get to the devices."""

    config: config_lib.PretrainConfig
    rows: HiddenRows
    placement: training.Placement

    def of(self, start: int) -> Iterator[base.Task]:
        """Those of step `start` and all later ones, on the host."""
        own = self.placement.own_tasks(_num_tasks(self.config))
        size = self.config.training.rows_per_step
        return self.rows.stream(start, size, _at_once(self.config), own)

    def transfer(self, tasks: base.Task) -> base.Task:
        """A batch on the devices."""
        return self.placement.spread(tasks, _num_tasks(self.config))


def _at_once(config: config_lib.PretrainConfig) -> int:
    return config.training.rows_at_once or config.training.rows_per_step


def _num_tasks(config: config_lib.PretrainConfig) -> int:
    return config.training.rows_per_step // _at_once(config)
