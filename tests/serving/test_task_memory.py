"""Tests of the tasks that a service keeps in memory."""

from metaflax.serving._store import StoredTask
from metaflax.serving._task_memory import ReadyTask, TaskMemory


def task(id, version=1):
    stored = StoredTask(id, "ann", "", version, 0.0, 0.0, [], [], "", "", "")
    return ReadyTask(stored, None)


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


def test_an_older_version_is_not_taken_for_the_stored_one():
    memory = TaskMemory()
    memory.keep(task("a"))
    assert memory.version_of(task("a").stored) == task("a")
    assert memory.version_of(task("a", version=2).stored) is None
