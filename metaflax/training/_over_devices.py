"""The meta-gradient of tasks that several devices share."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from metaflax import meta_gradient
from metaflax.training._mesh import PARAM, TASK


def over_devices(
    loss_and_grad: Callable[..., Any], mesh: Mesh, task_loop: meta_gradient.TaskLoop
) -> Callable[..., Any]:
    """`metaflax.value_and_grad`'s function, each device on tasks of its own.

    Where a device takes all of its tasks at once, that is left to the compiler, which
    fetches each parameter where it is used. Where it takes them in turn, to save
    memory, each device runs through its own, with all parameters at hand.

    Args:
      loss_and_grad: of `metaflax.value_and_grad`, with these `task_loop`.
      mesh: of `make_mesh`.
      task_loop: how many tasks a device takes at once.

    Returns:
      The same function, of tasks that all devices share.
    """
    if meta_gradient.all_at_once(task_loop):
        return loss_and_grad
    devices = TASK, PARAM

    def of_own(params: Any, tasks: Any, keys: Any, step: Any):
        (loss, info), grads = loss_and_grad(params, tasks, keys, step)
        loss, grads = jax.lax.pmean((loss, grads), devices)
        return (loss, info), grads

    everywhere, spread = PartitionSpec(), PartitionSpec(devices)
    return jax.shard_map(
        of_own,
        mesh=mesh,
        in_specs=(everywhere, spread, spread, everywhere),
        out_specs=((everywhere, spread), everywhere),
        # Were it to follow what differs between devices, it would sum the gradients of
        # inner steps over them, and refuse loops that begin with zeros.
        check_vma=False,
    )
