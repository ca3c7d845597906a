"""Queue that batches texts of many tasks for one encoder."""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from metaflax.serving._errors import ApiError, busy, late
from metaflax.workflows.learning._text_encoder import Encoded, TextEncoder

# Every n-th batch begins with background texts, so that these make progress under
# constant predictions, and a prediction waits for at most one such batch.
BACKGROUND_TURN = 2


@dataclasses.dataclass(eq=False)
class _Job:
    """Texts of a request, and the progress of encoding them."""

    texts: Sequence[Any]
    lengths: np.ndarray  # Numbers of tokens `[U]`.
    key: Hashable  # Texts of one key share an encoder; None is the unadapted one.
    adapted: Any
    deadline: float
    future: "Future[Encoded]" = dataclasses.field(default_factory=Future)
    taken: int = 0
    parts: list[Encoded] = dataclasses.field(default_factory=list)


class EncoderQueue:
    """Encodes texts of many threads in shared batches.

    One thread fills each batch with waiting texts of any request. Predictions and
    background texts, those of support sets, take turns to fill a batch first; the
    others take the rest.

    Args:
      encoder: encoder of the texts.
      max_waiting: largest number of waiting texts of predictions.
      on_batch: called with the numbers of texts and of requests of each batch.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        max_waiting: int,
        on_batch: Callable[[int, int], None] = lambda texts, requests: None,
    ):
        self._encoder, self._most, self._on_batch = encoder, max_waiting, on_batch
        self._jobs: tuple[deque[_Job], deque[_Job]] = (deque(), deque())
        self._changed = threading.Condition()
        self._waiting, self._turn, self._closed = 0, 0, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of waiting texts of predictions."""
        return self._waiting

    def submit(
        self,
        texts: Sequence[Any],
        *,
        seconds: float,
        key: Hashable = None,
        adapted: Any = None,
        background: bool = False,
    ) -> "Future[Encoded]":
        """Queues texts for encoding.

        Args:
          texts: texts, at least one.
          seconds: deadline in seconds from now.
          key: identifies the encoder whose leaves `adapted` replaces.
          adapted: leaves that replace those of the encoder.
          background: whether predictions have priority.

        Returns:
          A future of the features.

        Raises:
          ApiError: if too many texts wait.
        """
        lengths = self._encoder.num_tokens(texts)
        job = _Job(texts, lengths, key, adapted, time.monotonic() + seconds)
        with self._changed:
            if self._closed:
                raise ApiError(503, "closing", "the service ends; try again.")
            if not background:
                if self._waiting + len(texts) > self._most:
                    raise busy("texts")
                self._waiting += len(texts)
            self._jobs[background].append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Ends the thread; waiting requests fail."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or any(self._jobs)):
                    self._changed.wait()
                if self._closed:
                    break
                batch = self._next_batch()
            if batch:
                self._encode(batch)
        for job in [job for jobs in self._jobs for job in jobs]:
            _fail(job, ApiError(503, "closing", "the service ends; try again."))

    def _next_batch(self) -> list[tuple[_Job, Sequence[Any]]]:
        """Takes texts of one encoder from the queues, at most a batch of them."""
        self._drop_late()
        self._turn += 1
        queues = [self._jobs[False], self._jobs[True]]
        if self._turn % BACKGROUND_TURN == 0:
            queues.reverse()
        waiting = [(job, jobs) for jobs in queues for job in jobs]
        alike = [(job, jobs) for job, jobs in waiting if job.key == waiting[0][0].key]
        if not alike:
            return []
        lengths = np.concatenate([job.lengths[job.taken :] for job, _ in alike])
        batch, left = [], self._encoder.num_together(lengths)
        for job, jobs in alike:
            texts = job.texts[job.taken : job.taken + left]
            if not texts:
                break
            batch.append((job, texts))
            job.taken += len(texts)
            left -= len(texts)
            if jobs is self._jobs[False]:
                self._waiting -= len(texts)
            if job.taken == len(job.texts):
                jobs.remove(job)
        return batch

    def _drop_late(self) -> None:
        now = time.monotonic()
        for background, jobs in enumerate(self._jobs):
            for job in [job for job in jobs if job.deadline < now]:
                jobs.remove(job)
                self._waiting -= 0 if background else len(job.texts) - job.taken
                _fail(job, late())

    def _encode(self, batch: list[tuple[_Job, Sequence[Any]]]) -> None:
        texts = [text for _, part in batch for text in part]
        try:
            encoded = self._encoder.encode(texts, batch[0][0].adapted)
        except Exception as error:
            self._encode_apart(batch, error)
            return
        self._on_batch(len(texts), len(batch))
        first = 0
        for job, part in batch:
            _add(job, encoded.of(slice(first, first + len(part))))
            first += len(part)

    def _encode_apart(
        self, batch: list[tuple[_Job, Sequence[Any]]], error: Exception
    ) -> None:
        """Encodes requests one by one, so that only those with bad texts fail."""
        if len(batch) > 1:
            for item in batch:
                self._encode([item])
            return
        job, _ = batch[0]
        for jobs in self._jobs:
            with self._changed:
                if job in jobs:
                    jobs.remove(job)
                    if jobs is self._jobs[False]:
                        self._waiting -= len(job.texts) - job.taken
        _fail(job, error)


def _add(job: _Job, part: Encoded) -> None:
    job.parts.append(part)
    if sum(len(p.features) for p in job.parts) == len(job.texts):
        joined = Encoded(*map(np.concatenate, zip(*job.parts, strict=True)))
        if not job.future.done() and job.future.set_running_or_notify_cancel():
            job.future.set_result(joined)


def _fail(job: _Job, error: Exception) -> None:
    if not job.future.done() and job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
