"""Meta-trains a small BERT on meshes of devices and saves the results.

A separate process, since the number of devices and processes is fixed when jax starts.
Run as `python -m tests.training.spread JSON`, see `Setting`.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import metaflax
from metaflax import base, heads, losses, models, training
from metaflax.training._mesh import make_mesh
from metaflax.training._placement import OneDevice, Placement
from metaflax.training._processes import is_coordinator

NUM_TASKS = 8
CONFIG = models.BertConfig(
    vocab_size=64,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=8,
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Attributes:
    out: `.npz` file of the results, which process 0 writes.
    meshes: by name, number of devices, number of them that share a copy of the
      parameters, and number of tasks at once per device; no mesh for one device.
    algorithm: name of an algorithm in metaflax.
    float32: whether to compute the first meta-gradient in float32 too.
    num_steps: number of outer steps in float64.
    coordinator: address of process 0, if there are several processes.
    num_processes: number of processes.
    process_id: index of this process.
    """

    out: str
    meshes: Mapping[str, tuple[int, int, str]]
    algorithm: str = "maml"
    float32: bool = True
    num_steps: int = 20
    coordinator: str | None = None
    num_processes: int = 1
    process_id: int = 0


def batch(step: int, side: int, tasks: np.ndarray) -> base.Batch:
    """Texts of some of the tasks of a step, 4 each of 8 words."""
    rng = np.random.default_rng([step, side])
    ids = rng.integers(1, 64, (NUM_TASKS, 4, 8)).astype(np.int32)[tasks]
    packed = np.tile(np.arange(32, dtype=np.int32), (len(tasks), 1))
    tokens = models.Tokens(ids, None, np.ones_like(ids), packed)
    targets = np.tile(np.arange(4, dtype=np.int32) % 2, (len(tasks), 1))
    return base.Batch(tokens, targets, np.ones(targets.shape, np.float32))


def make(name: str, dtype: Any) -> base.MetaAlgorithm:
    encoder = models.encoder(CONFIG, dtype=dtype)
    common = (encoder.apply, losses.softmax_cross_entropy, encoder.init)
    if name == "protonet":
        algorithm = metaflax.protonet(*common, head=heads.prototypes(2))
    else:
        factory = getattr(metaflax, name)
        head = heads.linear(CONFIG.hidden_size, 2)
        algorithm = factory(*common, optax.sgd(0.1), head=head, num_steps=2)
    return metaflax.compact_rows(algorithm, models.word_table())


def placement_of(devices: int, param_shards: int) -> Placement:
    if devices == 1:
        return OneDevice()
    mesh = make_mesh(param_shards, jax.devices()[:devices])
    return training.OverDevices(mesh)


def trained(setting, mesh, optimizer, dtype, num_steps) -> dict[str, Any]:
    """Losses, parameters and norms of steps with dropout, on one mesh."""
    devices, param_shards, task_loop = mesh
    placement = placement_of(devices, param_shards)
    algorithm = make(setting.algorithm, dtype)
    params = jax.jit(algorithm.init)(jax.random.key(0, impl="rbg"))
    params = jax.tree.map(lambda x: x.astype(dtype), params)
    state = training.create(params, optimizer, jax.random.key(1, impl="rbg"))
    state, own = placement.place(state), placement.local_tasks(NUM_TASKS)
    step = training.make_step(
        algorithm, optimizer, task_loop=task_loop, mesh=placement.mesh
    )
    losses = []
    for number in range(num_steps):
        tasks = base.Task(batch(number, 0, own), batch(number, 1, own))
        state, metrics = step(state, placement.spread(tasks, NUM_TASKS))
        losses.append(float(metrics["loss"]))
    held = [x for x in jax.tree.leaves(state.params) if x.addressable_data(0).size]
    local = sum(x.addressable_data(0).nbytes for x in held)
    return {
        "losses": np.array(losses),
        "share": local / sum(x.nbytes for x in held),
        "tasks_on": len(metrics["query_losses"].sharding.device_set),
        **named(jax.tree.map(np.asarray, placement.whole(state.params))),
    }


def named(params: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {f"params{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}


def main(setting: Setting) -> None:
    if setting.coordinator is not None:
        training.initialize_distributed(
            setting.coordinator, setting.num_processes, setting.process_id
        )
    results = {}
    for name, mesh in setting.meshes.items():
        # The first update of plain descent gives the meta-gradient.
        parts = {}
        if setting.float32:
            parts["first"] = trained(setting, mesh, optax.sgd(1.0), jnp.float32, 1)
        jax.config.update("jax_enable_x64", True)
        adam = training.outer_optimizer("adamw", 1e-3)
        parts["last"] = trained(setting, mesh, adam, jnp.float64, setting.num_steps)
        jax.config.update("jax_enable_x64", False)
        for kind, numbers in parts.items():
            results |= {f"{name}/{kind}/{key}": x for key, x in numbers.items()}
    if is_coordinator():
        np.savez(setting.out, **results)


if __name__ == "__main__":
    main(Setting(**json.loads(sys.argv[1])))
