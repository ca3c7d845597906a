"""The training step of a BERT lowers for accelerators that are not here."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, heads, losses, models, training

CONFIG = models.BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
)


def tokens(num_tasks, num_texts, length=8):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (num_tasks, num_texts, length)).astype(np.int32)
    packed = np.tile(np.arange(num_texts * length, dtype=np.int32), (num_tasks, 1))
    return models.Tokens(ids, None, np.ones_like(ids), packed)


def batch(num_tasks, num_texts):
    targets = np.tile(np.arange(num_texts, dtype=np.int32) % 2, (num_tasks, 1))
    weights = np.ones((num_tasks, num_texts), np.float32)
    return base.Batch(tokens(num_tasks, num_texts), targets, weights)


@pytest.mark.parametrize("tasks_by", ["scan", "vmap"])
@pytest.mark.parametrize("name", ["maml", "protonet"])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_training_step_lowers(platform, name, tasks_by):
    encoder = models.encoder(CONFIG, standardize=True)
    common = (encoder.apply, losses.softmax_cross_entropy, encoder.init)
    if name == "maml":
        algorithm = algorithms.maml(
            *common, optax.sgd(0.1), head=heads.linear(16, 2), num_steps=2
        )
    else:
        algorithm = algorithms.protonet(*common, head=heads.prototypes(2))
    optimizer = training.outer_optimizer("adamw", 1e-3)
    params = algorithm.init(jax.random.key(0))
    state = training.create(params, optimizer, jax.random.key(1, impl="rbg"))
    step = training.make_step(algorithm, optimizer, tasks_by=tasks_by)
    tasks = jax.tree.map(jnp.asarray, base.Task(batch(2, 4), batch(2, 6)))
    exported = jax.export.export(step, platforms=[platform])(state, tasks)
    assert exported.platforms == (platform,)
