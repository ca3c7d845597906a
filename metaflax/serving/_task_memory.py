"""Cache of tasks in memory, ready to predict."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import jax

from metaflax.serving._store import StoredTask
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded

# Largest number of tasks in memory, and of bytes of their weights and features. Tasks
# that adapt an encoder of 22 million weights have 90 MB each.
MOST_TASKS, MOST_BYTES = 1_000, 2**30


class ReadyTask(NamedTuple):
    """Task in memory.

    Attributes:
      stored: the task as it is stored.
      learner: learner with the head that the task was learned with.
      learned: weights of the task.
      encoded: features of its examples; None if they were not needed yet, or adaptation
        changes the encoder.
    """

    stored: StoredTask
    learner: Learner
    learned: LearnedTask
    encoded: Encoded | None = None

    @property
    def encoder_key(self) -> tuple[str, int] | None:
        """Identifies the encoder of the task; None if that is the learner's."""
        if self.learned.shares_encoder:
            return None
        return self.stored.id, self.stored.version

    @property
    def num_bytes(self) -> int:
        """Size of the weights and features."""
        arrays = (self.learned.head, self.learned.encoder, self.encoded)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))


class TaskMemory:
    """Thread-safe cache of the most recently used tasks, the last one at least.

    Args:
      most: largest number of tasks.
      most_bytes: largest size of their weights and features.
    """

    def __init__(self, most: int = MOST_TASKS, most_bytes: int = MOST_BYTES):
        self._tasks: OrderedDict[str, ReadyTask] = OrderedDict()
        self._most, self._most_bytes, self._num_bytes = most, most_bytes, 0
        self._lock = threading.Lock()

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
            self._drop(ready.stored.id)
            self._tasks[ready.stored.id] = ready
            self._num_bytes += ready.num_bytes
            while len(self._tasks) > 1 and self._is_too_large():
                self._drop(next(iter(self._tasks)))

    def forget(self, id: str) -> None:
        """Evicts a task."""
        with self._lock:
            self._drop(id)

    def _is_too_large(self) -> bool:
        return len(self._tasks) > self._most or self._num_bytes > self._most_bytes

    def _drop(self, id: str) -> None:
        if (ready := self._tasks.pop(id, None)) is not None:
            self._num_bytes -= ready.num_bytes
