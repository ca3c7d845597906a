"""Meta-gradient of tasks that are sharded over devices."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from metaflax import _meta_gradient
from metaflax.training._mesh import PARAM, TASK


def over_devices(
    loss_and_grad: Callable[..., Any], mesh: Mesh, task_loop: _meta_gradient.TaskLoop
) -> Callable[..., Any]:
    """Parallelises the function of `metaflax.value_and_grad` over devices.

    If each device computes all of its tasks at once, the compiler parallelises the
    function, and gathers each parameter where it is used. If tasks are computed in
    turn, to save memory, each device loops over its tasks with all parameters gathered.

    Args:
      loss_and_grad: function of `metaflax.value_and_grad`, with the same `task_loop`.
      mesh: mesh from `make_mesh`.
      task_loop: number of tasks that a device computes at once.

    Returns:
      The same function, for tasks sharded over the devices.
    """
    if _meta_gradient.all_at_once(task_loop):
        return loss_and_grad
    devices = TASK, PARAM

    def of_local_tasks(params: Any, tasks: Any, keys: Any, step: Any):
        (loss, info), grads = loss_and_grad(params, tasks, keys, step)
        loss, grads = jax.lax.pmean((loss, grads), devices)
        return (loss, info), grads

    replicated, sharded = PartitionSpec(), PartitionSpec(devices)
    return jax.shard_map(
        of_local_tasks,
        mesh=mesh,
        in_specs=(replicated, sharded, sharded, replicated),
        out_specs=((replicated, sharded), replicated),
        # With the check, gradients of inner steps would be summed over devices, and
        # loops whose carry starts with zeros would be rejected.
        check_vma=False,
    )
