"""Floating-point operations of a mixture's steps, without compiling them."""

from pathlib import Path
from typing import Any

import jax

import metaflax
from metaflax import base, profiling, workflows
from metaflax import config as config_lib
from metaflax.workflows.meta_training._members import Member, load_members


def step_flops(
    config: config_lib.MixtureConfig, *, num_batches: int = 20
) -> dict[str, float]:
    """Counts operations of a step of each member, to compare runs at equal compute.

    Args:
      config: the mixture's config.
      num_batches: number of batches of each member to average over, as batches differ
        in shape.

    Returns:
      By member, floating-point operations of the matrix products of loss and
      meta-gradient; see `profiling.matmul_flops`.

    Raises:
      ValueError: for an invalid config or data.
    """
    config_lib.check_mixture(config)
    model = workflows.load_model(config.model)
    # Nothing is written to this directory: members write only when training begins.
    unused = workflows.RunDirectory(Path("unused"), config_lib.MixtureConfig)
    members = load_members(config, model, unused)
    return {
        name: _mean_flops(member, config.training, num_batches)
        for name, member in members.items()
    }


def _mean_flops(
    member: Member, training: config_lib.TrainingConfig, num_batches: int
) -> float:
    loss_and_grad = metaflax.value_and_grad(
        member.algorithm, task_loop="scan", trains=list(training.trains)
    )
    key = jax.random.key(training.seed) if training.dropout else None

    def flops(tasks: base.Task) -> int:
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        keys = None if key is None else jax.random.split(key, num_tasks)
        return profiling.matmul_flops(
            lambda params, tasks: loss_and_grad(params, tasks, keys, 0),
            member.params,
            tasks,
        )

    by_shape: dict[Any, int] = {}
    total = 0
    for tasks in map(member.batch, range(num_batches)):
        shapes = tuple(x.shape for x in jax.tree.leaves(tasks))
        if shapes not in by_shape:
            by_shape[shapes] = flops(tasks)
        total += by_shape[shapes]
    return total / num_batches
