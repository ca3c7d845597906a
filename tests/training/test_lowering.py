"""Tests that training steps of a BERT lower for accelerators, without having one."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import algorithms, base, estimators, heads, losses, models, training
from metaflax.training import _mixture
from metaflax.training._mesh import make_mesh

pytestmark = pytest.mark.thorough

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


DEEP = dataclasses.replace(CONFIG, num_hidden_layers=3)


def lean():
    """MAML with all optimizations: compact rows, loops, bfloat16, rematerialisation."""
    encoder = models.encoder(
        DEEP, dtype=jnp.bfloat16, layer_loop="scan", remat="layers", standardize=True
    )
    algorithm = algorithms.maml(
        encoder.apply,
        losses.softmax_cross_entropy,
        encoder.init,
        optax.sgd(0.5),
        head=heads.linear(16, 2),
        adapts=["encoder/layer_1", "encoder/layer_2", "head"],
        num_steps=2,
    )
    return algorithms.compact_rows(algorithm, models.word_table())


def make(name):
    encoder = models.encoder(CONFIG, standardize=True)
    common = (encoder.apply, losses.softmax_cross_entropy, encoder.init)
    linear, sgd = heads.linear(16, 2), optax.sgd(0.5)
    made = {
        "maml": lambda: algorithms.maml(*common, sgd, head=linear, num_steps=2),
        "mixed mode": lambda: algorithms.maml(
            *common,
            sgd,
            head=linear,
            num_steps=4,
            estimator=functools.partial(estimators.mixed_mode, remat_every=2),
        ),
        "implicit": lambda: algorithms.imaml(*common, sgd, head=linear, num_steps=8),
        "learned rates": lambda: algorithms.maml_plus_plus(
            *common, head=linear, num_steps=2, first_order_until=5
        ),
        "preconditioned": lambda: algorithms.meta_curvature(
            *common, head=linear, num_steps=2, rank=2
        ),
        "generated head": lambda: algorithms.leopard(
            *common, head=heads.leopard(16, 2, num_hidden=4), num_steps=2
        ),
        "lean": lean,
        "first order, on rows": lambda: algorithms.compact_rows(
            algorithms.fomaml(*common, sgd, head=linear, num_steps=2),
            models.word_table(),
        ),
        "displacement": lambda: algorithms.reptile(
            *common, sgd, head=linear, num_steps=2
        ),
        "head only": lambda: algorithms.anil(*common, sgd, head=linear, num_steps=2),
        "matching": lambda: algorithms.matching(*common, head=heads.matching(2)),
        "relation": lambda: algorithms.relation(*common, head=heads.relation(16, 2)),
        "protonet": lambda: algorithms.protonet(*common, head=heads.prototypes(2)),
        "ridge": lambda: algorithms.ridge(*common, head=heads.ridge(2)),
        "logistic regression": lambda: algorithms.ridge(
            *common, head=heads.logistic_regression(2)
        ),
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "task_loop"),
    [
        ("maml", "scan"),
        pytest.param("maml", "vmap", marks=pytest.mark.slow),
        pytest.param("mixed mode", "scan", marks=pytest.mark.slow),
        pytest.param("implicit", "vmap", marks=pytest.mark.slow),
        pytest.param("learned rates", "scan", marks=pytest.mark.slow),
        pytest.param("preconditioned", "vmap", marks=pytest.mark.slow),
        pytest.param("generated head", "scan", marks=pytest.mark.slow),
        pytest.param("lean", "scan", marks=pytest.mark.slow),
        pytest.param("lean", "vmap", marks=pytest.mark.slow),
        pytest.param("first order, on rows", "scan", marks=pytest.mark.slow),
        pytest.param("first order, on rows", "vmap", marks=pytest.mark.slow),
        pytest.param("displacement", "vmap", marks=pytest.mark.slow),
        ("head only", "vmap"),
        pytest.param("matching", "vmap", marks=pytest.mark.slow),
        pytest.param("relation", "vmap", marks=pytest.mark.slow),
        ("protonet", "scan"),
        pytest.param("protonet", "vmap", marks=pytest.mark.slow),
        ("ridge", "vmap"),
        pytest.param("logistic regression", "vmap", marks=pytest.mark.slow),
    ],
)
def test_a_training_step_lowers(name, task_loop):
    algorithm = make(name)
    optimizer = training.outer_optimizer("adamw", 1e-3)
    params = algorithm.init(jax.random.key(0))
    state = training.create(params, optimizer, jax.random.key(1, impl="rbg"))
    step = training.make_step(algorithm, optimizer, task_loop=task_loop)
    tasks = jax.tree.map(jnp.asarray, base.Task(batch(2, 4), batch(2, 6)))
    for platform in ("cuda", "tpu"):
        exported = jax.export.export(step, platforms=[platform])(state, tasks)
        assert exported.platforms == (platform,)


@pytest.mark.slow
def test_the_step_of_a_mixtures_member_lowers():
    members = {name: make(name) for name in ("first order, on rows", "protonet")}
    plain = training.outer_optimizer("adamw", 1e-3, clip_norm=None)
    params = {n: a.init(jax.random.key(0)) for n, a in members.items()}
    tasks = jax.tree.map(jnp.asarray, base.Task(batch(2, 4), batch(2, 6)))
    for name, algorithm in members.items():
        optimizer = _mixture.mixture_optimizer(plain, list(members), name, 1.0)
        state = training.create(
            _mixture.shared_params(params), optimizer, jax.random.key(1, impl="rbg")
        )
        step = training.make_step(
            _mixture.for_member(algorithm, name),
            optimizer,
            trains=_mixture.member_paths(name),
        )
        for platform in ("cuda", "tpu"):
            exported = jax.export.export(step, platforms=[platform])(state, tasks)
            assert exported.platforms == (platform,)


@pytest.mark.parametrize(
    "task_loop", [pytest.param(t, marks=pytest.mark.slow) for t in ("scan", "vmap")]
)
def test_a_step_on_a_mesh_lowers(task_loop):
    """With one device, since an export is bound to the number of devices."""
    algorithm, optimizer = make("lean"), training.outer_optimizer("adamw", 1e-3)
    placement = training.OverDevices(make_mesh())
    params = algorithm.init(jax.random.key(0))
    state = training.create(params, optimizer, jax.random.key(1, impl="rbg"))
    step = training.make_step(
        algorithm, optimizer, task_loop=task_loop, mesh=placement.mesh
    )
    tasks = placement.spread(base.Task(batch(2, 4), batch(2, 6)), 2)
    for platform in ("cuda", "tpu"):
        exported = jax.export.export(step, platforms=[platform])
        assert exported(placement.place(state), tasks).platforms == (platform,)
