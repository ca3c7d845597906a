"""The outer step on eight devices gives what it gives on one.

A process of its own has eight devices on the CPU: how many there are is settled when
jax starts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import metaflax
from metaflax import base, heads, losses, models, training

NUM_DEVICES = 8
CONFIG = models.BertConfig(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=8,
)


def batch(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 60, (NUM_DEVICES, 4, 8)).astype(np.int32)
    packed = np.tile(np.arange(32, dtype=np.int32), (NUM_DEVICES, 1))
    tokens = models.Tokens(ids, None, np.ones_like(ids), packed)
    targets = np.tile(np.arange(4, dtype=np.int32) % 2, (NUM_DEVICES, 1))
    return base.Batch(tokens, targets, np.ones(targets.shape, np.float32))


def make(name):
    encoder = models.encoder(CONFIG)
    common = (encoder.apply, losses.softmax_cross_entropy, encoder.init)
    if name == "protonet":
        algorithm = metaflax.protonet(*common, head=heads.prototypes(2))
    else:
        factory = getattr(metaflax, name)
        head = heads.linear(16, 2)
        algorithm = factory(*common, optax.sgd(0.1), head=head, num_steps=2)
    return metaflax.compact_rows(algorithm, models.word_table())


def steps(name, shard):
    """Losses and parameters of three outer steps with tasks on the devices."""
    # Not Adam, which blows rounding up where a gradient is zero.
    algorithm, optimizer = make(name), optax.sgd(0.1)
    state = training.create(
        jax.jit(algorithm.init)(jax.random.key(0)), optimizer, jax.random.key(1)
    )
    tasks = base.Task(batch(0), batch(1))
    if shard:
        mesh = jax.make_mesh((NUM_DEVICES,), ("task",), axis_types=(AxisType.Auto,))
        spread = NamedSharding(mesh, PartitionSpec("task"))
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
        tasks = jax.tree.map(lambda x: jax.device_put(x, spread), tasks)
    step = training.make_step(algorithm, optimizer, tasks_by="vmap", dropout=False)
    found = []
    for _ in range(3):
        state, metrics = step(state, jax.tree.map(jnp.asarray, tasks))
        found.append(float(metrics["loss"]))
    norms = [float(jnp.linalg.norm(x)) for x in jax.tree.leaves(state.params)]
    return found, norms, len(metrics["query_losses"].sharding.device_set)


def main(name):
    alone, spread = steps(name, shard=False), steps(name, shard=True)
    print(json.dumps([alone, spread]))


@pytest.mark.parametrize("name", ["protonet", "anil", "fomaml", "maml"])
def test_eight_devices_give_the_numbers_of_one(name):
    options = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={NUM_DEVICES}"
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.test_devices", name],
        env=options,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, spread = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(spread[0], alone[0], rtol=1e-5)
    np.testing.assert_allclose(spread[1], alone[1], rtol=1e-5, atol=1e-6)
    assert (alone[2], spread[2]) == (1, NUM_DEVICES)


if __name__ == "__main__":
    main(sys.argv[1])
