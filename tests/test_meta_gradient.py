"""Tests for checks of batches of tasks; values are tested by algorithm."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import metaflax
from metaflax import base, heads
from tests.algorithms import text_free


def batched(name="protonet", **options):
    algorithm = text_free.make(name, **options)
    return metaflax.value_and_grad(algorithm), algorithm.init(jax.random.key(0))


def stacked(num_tasks):
    tasks = [text_free.task(seed) for seed in range(num_tasks)]
    return jax.tree.map(lambda *xs: jnp.stack(xs), *tasks)


def test_a_task_without_an_axis_of_tasks_is_refused_with_the_way_to_add_one():
    fn, params = batched()
    with pytest.raises(ValueError, match=r"support set are \[6\], without .*x\[None\]"):
        fn(params, text_free.task(), None)
    (loss, _), _ = fn(params, jax.tree.map(lambda x: x[None], text_free.task()), None)
    assert np.isfinite(loss)


def test_leaves_of_different_numbers_of_tasks_are_refused():
    fn, params = batched()
    tasks = stacked(3)
    tasks = tasks._replace(query=jax.tree.map(lambda x: x[:2], tasks.query))
    with pytest.raises(ValueError, match="differ in their number of tasks T: 2, 3"):
        fn(params, tasks, None)


@pytest.mark.parametrize(
    "keys", [jax.random.key(0), jax.random.split(jax.random.key(0))]
)
def test_another_number_of_keys_than_tasks_is_refused(keys):
    fn, params = batched()
    with pytest.raises(ValueError, match=r"for 3 tasks; .* jax\.random\.split\(key, 3"):
        fn(params, stacked(3), keys)


def test_an_uncalled_head_is_refused():
    with pytest.raises(ValueError, match=r"the head is prototypes, a function"):
        batched(head=heads.prototypes)


BATCH = base.Batch(jnp.ones((2, 3)), jnp.ones(2), jnp.ones(2))
TUPLES = [
    BATCH,
    base.Task(BATCH, BATCH),
    base.ClassOutputs(jnp.ones((2, 3)), jnp.ones(3)),
    base.InnerInfo(jnp.ones(2)),
    base.MetaInfo(jnp.ones(2), jnp.ones(())),
]
every_tuple = pytest.mark.parametrize("value", TUPLES, ids=lambda x: type(x).__name__)


@every_tuple
def test_what_crosses_the_boundary_of_a_program_is_known_to_jax_export(value):
    with pytest.raises(ValueError, match="[Dd]uplicate serialization"):
        jax.export.register_namedtuple_serialization(type(value), serialized_name="x")


@every_tuple
def test_a_program_of_it_is_written_and_read_back(value):
    pytest.importorskip("flatbuffers")
    exported = jax.export.export(jax.jit(lambda x: jax.tree.map(jnp.negative, x)))
    again = jax.export.deserialize(exported(value).serialize())
    assert type(again.call(value)) is type(value)
