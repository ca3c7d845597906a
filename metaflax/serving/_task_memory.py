"""Cache of tasks in memory, ready to predict."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from metaflax.few_shot._learned_task import LearnedTask
from metaflax.few_shot._text_encoder import Encoded
from metaflax.serving._store import StoredTask

# Largest number of tasks whose weights and features stay in memory.
MOST_IN_MEMORY = 1_000


class ReadyTask(NamedTuple):
    """Task in memory.

    Attributes:
      stored: the task as it is stored.
      learned: weights of the task.
      encoded: features of its examples; None if they were not needed yet, or adaptation
        changes the encoder.
    """

    stored: StoredTask
    learned: LearnedTask
    encoded: Encoded | None = None

    @property
    def encoder_key(self) -> tuple[str, int] | None:
        """Identifies the encoder of the task; None if that is the learner's."""
        if self.learned.shares_encoder:
            return None
        return self.stored.id, self.stored.version


class TaskMemory:
    """Thread-safe cache of the most recently used tasks.

    Args:
      most: largest number of tasks.
    """

    def __init__(self, most: int = MOST_IN_MEMORY):
        self._tasks: OrderedDict[str, ReadyTask] = OrderedDict()
        self._most, self._lock = most, threading.Lock()

    def get(self, id: str) -> ReadyTask | None:
        """Returns a task in any version, if it is cached."""
        with self._lock:
            return self._tasks.get(id)

    def version_of(self, stored: StoredTask) -> ReadyTask | None:
        """Returns a task in the stored version, if that is cached."""
        ready = self.get(stored.id)
        return ready if ready is not None and ready.stored == stored else None

    def keep(self, ready: ReadyTask) -> None:
        """Caches a task, and evicts the least recently used ones."""
        with self._lock:
            self._tasks[ready.stored.id] = ready
            self._tasks.move_to_end(ready.stored.id)
            while len(self._tasks) > self._most:
                self._tasks.popitem(last=False)

    def forget(self, id: str) -> None:
        """Evicts a task."""
        with self._lock:
            self._tasks.pop(id, None)
