"""Loading of stored tasks into memory."""

import functools

from metaflax.serving import _weights
from metaflax.serving._errors import ApiError
from metaflax.serving._store import StoredTask, TaskStore
from metaflax.serving._task_memory import ReadyTask, TaskMemory
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner

# Number of cached learners of tasks whose head is not that of new tasks.
OTHER_LEARNERS = 8


class TaskLoader:
    """Loads tasks from the store, unless they are in memory.

    Args:
      learner: learner of new tasks.
      store: store of tasks.
      memory: tasks in memory.
    """

    def __init__(self, learner: Learner, store: TaskStore, memory: TaskMemory):
        self._learner, self._store, self._memory = learner, store, memory
        self._settings = _weights.HeadSettings.of(learner)
        self._with = functools.lru_cache(OTHER_LEARNERS)(learner.with_algorithm)

    def load(self, tenant: str, id: str) -> ReadyTask:
        """Returns the newest version of a task.

        Raises:
          ApiError: if there is no such task, it was learned with another model, or the
            store fails.
        """
        ready = self._memory.get(id)
        if ready is None or not self._is_newest(ready, tenant):
            ready = self._read(self._store.get(tenant, id))
        self._memory.keep(ready)
        return ready

    def _is_newest(self, ready: ReadyTask, tenant: str) -> bool:
        """Returns whether a task in memory is the tenant's and the stored version."""
        stored = ready.stored
        if stored.tenant != tenant:
            return False
        return self._store.version(tenant, stored.id) == stored.version

    def _read(self, stored: StoredTask) -> ReadyTask:
        encoder = self._learner.encoder
        if stored.encoder != encoder.digest:
            raise _other_model()
        content = self._store.weights(stored)
        uses_names = self._learner.config.data.uses_label_names  # As for all tasks.
        learned = _weights.from_bytes(
            content, stored.classes, encoder.params, uses_names
        )
        try:
            learner = self._learner_of(_weights.settings(content), learned)
        except ValueError as error:
            raise _other_model() from error
        return ReadyTask(stored, learner, learned)

    def _learner_of(
        self, settings: _weights.HeadSettings | None, learned: LearnedTask
    ) -> Learner:
        """Returns a learner with the head of a task, or that of new tasks for None."""
        if settings is None or settings == self._settings:
            return self._learner
        return self._with(
            settings.algorithm,
            new_head=not settings.meta_trained,
            chooses_head=learned.choice is not None,
        )


def _other_model() -> ApiError:
    return ApiError(
        409,
        "other_model",
        "the task was learned with another model; PATCH it with an example to learn it"
        " again.",
    )
