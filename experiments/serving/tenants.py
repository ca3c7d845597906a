"""Tenants that send random requests to a service, and record its answers."""

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from server import Client

# Shares of requests that create or delete tasks, and that add examples; the others
# are predictions.
CHANGES, PATCHES = 0.06, 0.10
MOST_TASKS, CLASSES, SHOT, MOST_TEXTS, MOST_NEW = 3, 5, 5, 8, 3


class Texts(NamedTuple):
    """Labelled texts that tenants sample from.

    Attributes:
      texts: all texts.
      labels: label of each text.
      by_class: indices of texts by class.
    """

    texts: list[str]
    labels: list[str]
    by_class: dict[str, list[int]]

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]], per_class: int) -> "Texts":
        """Selects the first `per_class` texts of each class that has as many."""
        by_class: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_class.setdefault(row["label"], []).append(row)
        taken = [
            row
            for name in sorted(by_class)
            if len(by_class[name]) >= per_class
            for row in by_class[name][:per_class]
        ]
        labels = [row["label"] for row in taken]
        numbers: dict[str, list[int]] = {}
        for number, label in enumerate(labels):
            numbers.setdefault(label, []).append(number)
        return cls([row["text"] for row in taken], labels, numbers)

    def examples(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """Returns texts with their labels."""
        return [{"text": self.texts[i], "label": self.labels[i]} for i in rows]


class Prediction(NamedTuple):
    """Predictions of a service, to be checked.

    Attributes:
      rows: indices of the task's examples.
      queries: indices of the predicted texts.
      answers: label and probabilities of each query.
    """

    rows: tuple[int, ...]
    queries: tuple[int, ...]
    answers: list[tuple[str, dict[str, float]]]


class Timing(NamedTuple):
    """Duration of a request.

    Attributes:
      kind: kind of request.
      start: seconds of the monotonic clock.
      seconds: seconds until the answer.
      status: HTTP status of the answer.
    """

    kind: str
    start: float
    seconds: float
    status: int


@dataclasses.dataclass
class Task:
    """State of a task according to its tenant.

    Attributes:
      id: id of the task.
      classes: names of its classes.
      rows: indices of acknowledged examples.
      version: acknowledged version.
      pending: indices of examples in a request without an answer.
      deleting: whether a request without an answer deletes the task.
    """

    id: str
    classes: list[str]
    rows: tuple[int, ...]
    version: int = 1
    pending: tuple[int, ...] = ()
    deleting: bool = False


class Tenant:
    """A tenant that sends one request after another, and waits after each 429.

    Args:
      texts: texts to sample from.
      rng: random generator.
      clients: clients, one of which sends each request.
    """

    def __init__(
        self,
        texts: Texts,
        rng: np.random.Generator,
        clients: Sequence[Client],
    ):
        self.tasks: list[Task] = []
        self.timings: list[Timing] = []
        self.predictions: list[Prediction] = []
        self.problems: list[str] = []
        self._texts, self._rng, self._clients = texts, rng, clients

    def step(self) -> None:
        """Sends a random request and records the answer."""
        draw = self._rng.random()
        if not self.tasks or (draw < CHANGES and len(self.tasks) < MOST_TASKS):
            self._create()
        elif draw < CHANGES:
            self._delete()
        elif draw < CHANGES + PATCHES:
            self._patch()
        else:
            self._predict()

    def move(self, clients: Sequence[Client]) -> None:
        """Switches to other servers."""
        self.close()
        self._clients = clients

    def close(self) -> None:
        """Closes connections until the next request."""
        for client in self._clients:
            client.close()

    def check_tasks(self) -> int:
        """Compares every acknowledged task with what the service has.

        Returns:
          The number of tasks that were compared.
        """
        number = 0
        for task in list(self.tasks):
            status, stored = self._ask("get", "GET", f"/v1/tasks/{task.id}")
            number += 1
            if status == 404 and task.deleting:
                self.tasks.remove(task)
            elif status != 200:
                self.problems.append(f"task {task.id} is lost: {status} {stored}")
                self.tasks.remove(task)
            else:
                self._compare(task, stored)
        self.close()
        return number

    def _compare(self, task: Task, stored: dict[str, Any]) -> None:
        """Records differences, and whether the last unanswered request took effect."""
        done = stored["version"] == task.version + 1 and bool(task.pending)
        rows = task.rows + task.pending if done else task.rows
        version = task.version + done
        if stored["version"] != version or stored["examples"] != self._texts.examples(
            rows
        ):
            self.problems.append(
                f"task {task.id} has version {stored['version']} with"
                f" {len(stored['examples'])} examples, not {version} with {len(rows)}"
            )
        task.rows, task.version, task.pending, task.deleting = rows, version, (), False

    def _create(self) -> None:
        names = sorted(self._texts.by_class)
        classes = [str(n) for n in self._rng.choice(names, CLASSES, replace=False)]
        rows = tuple(
            int(i)
            for name in classes
            for i in self._rng.choice(self._texts.by_class[name], SHOT, replace=False)
        )
        body = {"examples": self._texts.examples(rows)}
        status, answer = self._ask("adapt", "POST", "/v1/tasks", body)
        if status == 201:
            self.tasks.append(Task(answer["id"], classes, rows))

    def _delete(self) -> None:
        task = self._task()
        task.deleting = True
        status, _ = self._ask("delete", "DELETE", f"/v1/tasks/{task.id}")
        if status == 204:
            self.tasks.remove(task)
        else:
            task.deleting = False

    def _patch(self) -> None:
        task = self._task()
        task.pending = self._draw(task, MOST_NEW)
        body = {"examples": self._texts.examples(task.pending)}
        status, answer = self._ask("patch", "PATCH", f"/v1/tasks/{task.id}", body)
        if status == 200:
            task.rows += task.pending
            task.version += 1
            if answer["version"] != task.version:
                self.problems.append(f"a patch made version {answer['version']}")
        task.pending = ()

    def _predict(self) -> None:
        task = self._task()
        queries = self._draw(task, MOST_TEXTS)
        body = {"texts": [self._texts.texts[i] for i in queries]}
        path = f"/v1/tasks/{task.id}/predict"
        status, answer = self._ask("predict", "POST", path, body)
        if status == 200:
            answers = [(p["label"], p["probabilities"]) for p in answer["predictions"]]
            self.predictions.append(Prediction(task.rows, queries, answers))
            if answer["version"] != task.version:
                self.problems.append(
                    f"version {answer['version']} answers after {task.version}"
                )

    def _task(self) -> Task:
        return self.tasks[self._rng.integers(len(self.tasks))]

    def _draw(self, task: Task, most: int) -> tuple[int, ...]:
        """Samples texts of the classes of a task."""
        number = self._rng.integers(1, most + 1)
        names = self._rng.choice(task.classes, number)
        return tuple(int(self._rng.choice(self._texts.by_class[n])) for n in names)

    def _ask(self, kind: str, method: str, path: str, body: Any = None):
        client = self._clients[self._rng.integers(len(self._clients))]
        start = time.monotonic()
        status, answer = client.ask(method, path, body)
        self.timings.append(Timing(kind, start, time.monotonic() - start, status))
        if status == 429:
            time.sleep(client.retry_after)
        elif status >= 500:
            self.problems.append(f"{kind} was answered with {status}: {answer}")
        return status, answer


def all_at_once(
    tenants: Sequence[Tenant],
    until: Callable[[], bool],
    ended: tuple[type[Exception], ...] = (),
) -> threading.Event:
    """Lets every tenant send requests in a separate thread.

    Args:
      tenants: the tenants.
      until: whether to stop, called after each request.
      ended: errors that end a tenant's requests and are no problem.

    Returns:
      An event that is set when all of them have stopped.
    """
    done, left, lock = threading.Event(), [len(tenants)], threading.Lock()

    def ask(tenant: Tenant) -> None:
        try:
            while not until():
                tenant.step()
        except ended:
            pass
        except Exception as error:  # A thread's error is shown by the report.
            tenant.problems.append(f"no answer: {error!r}")
        finally:
            tenant.close()
            with lock:
                left[0] -= 1
                if not left[0]:
                    done.set()

    for tenant in tenants:
        threading.Thread(target=ask, args=(tenant,), daemon=True).start()
    return done
