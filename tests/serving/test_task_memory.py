"""Tests of the tasks that a service keeps in memory."""

import numpy as np

from metaflax.serving._store import StoredTask
from metaflax.serving._task_memory import ReadyTask, TaskMemory
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._text_encoder import Encoded


def task(id, version=1, adapted=(), encoded=None):
    """A task with one weight in its head, and others of its encoder."""
    stored = StoredTask(id, "ann", "", version, 0.0, 0.0, [], [], "", "", "")
    learned = LearnedTask(("x",), {"bias": np.zeros(1, np.float32)}, adapted)
    return ReadyTask(stored, None, learned, encoded)


def test_the_task_that_was_not_used_for_longest_is_forgotten():
    memory = TaskMemory(most=2)
    first, second, third = (task(id) for id in "abc")
    memory.keep(first)
    memory.keep(second)
    memory.keep(first)
    memory.keep(third)
    assert [memory.get(id) for id in "abc"] == [first, None, third]
    memory.forget("a")
    assert memory.get("a") is None


def test_tasks_in_memory_have_a_largest_size_in_all():
    memory = TaskMemory(most_bytes=100)
    large = [np.zeros(20, np.float32)]
    memory.keep(task("a"))
    memory.keep(task("b", adapted=large))
    memory.keep(task("a"))
    memory.keep(task("b", version=2, adapted=large))  # Replaces the first version.
    assert memory.get("a") is not None
    features = Encoded(np.zeros((1, 2), np.float32), np.ones((1, 2), np.int64))
    memory.keep(task("c", encoded=features))
    assert [memory.get(id) is None for id in "abc"] == [True, True, False]
    memory.keep(task("d", adapted=2 * large))  # Larger than all may be.
    assert [memory.get(id) is None for id in "cd"] == [True, False]
    memory.forget("d")
    memory.keep(task("a"))
    memory.keep(task("b", adapted=large))
    assert [memory.get(id) is None for id in "ab"] == [False, False]


def test_an_older_version_is_not_taken_for_the_stored_one():
    memory = TaskMemory()
    memory.keep(task("a"))
    assert memory.version_of(task("a").stored) == task("a")
    assert memory.version_of(task("a", version=2).stored) is None
