"""Tasks in memory, ready to predict."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from metaflax.few_shot._learned_task import LearnedTask
from metaflax.few_shot._text_encoder import Encoded
from metaflax.serving._store import StoredTask

# Tasks whose weights and features stay in memory.
MOST_IN_MEMORY = 1_000


class ReadyTask(NamedTuple):
    """A task in memory.

    Attributes:
      stored: the task as it is stored.
      learned: its weights.
      encoded: features of its examples; None where they were not needed yet, or where
        adaptation changes the encoder.
    """

    stored: StoredTask
    learned: LearnedTask
    encoded: Encoded | None = None


class TaskMemory:
    """The tasks that were used last, for threads.

    Args:
      most: how many are kept.
    """

    def __init__(self, most: int = MOST_IN_MEMORY):
        self._tasks: OrderedDict[str, ReadyTask] = OrderedDict()
        self._most, self._lock = most, threading.Lock()

    def get(self, id: str) -> ReadyTask | None:
        """Returns a task in any version, if it is kept."""
        with self._lock:
            return self._tasks.get(id)

    def version_of(self, stored: StoredTask) -> ReadyTask | None:
        """Returns a task in the version that is stored, if that is kept."""
        ready = self.get(stored.id)
        return ready if ready is not None and ready.stored == stored else None

    def keep(self, ready: ReadyTask) -> None:
        """Keeps a task, and forgets those that were not used for longest."""
        with self._lock:
            self._tasks[ready.stored.id] = ready
            self._tasks.move_to_end(ready.stored.id)
            while len(self._tasks) > self._most:
                self._tasks.popitem(last=False)

    def forget(self, id: str) -> None:
        """Forgets a task."""
        with self._lock:
            self._tasks.pop(id, None)
