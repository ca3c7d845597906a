"""Encoding of texts with the encoders of tasks, within deadlines."""

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import Any

from metaflax.serving._batcher import EncoderQueue
from metaflax.serving._errors import late
from metaflax.serving._limits import Limits
from metaflax.serving._task_memory import ReadyTask
from metaflax.workflows.learning._text_encoder import Encoded


class TaskEncoder:
    """Encodes texts of tasks in a shared queue.

    Args:
      queue: queue of the learner's encoder.
      limits: limits on the time of predictions, and of work in the background.
    """

    def __init__(self, queue: EncoderQueue, limits: Limits):
        self._queue, self._limits = queue, limits

    async def encode(self, texts: Sequence[Any], ready: ReadyTask) -> Encoded:
        """Encodes texts of a prediction with the encoder of a task.

        Raises:
          ApiError: if too many texts wait, or the deadline has passed.
        """
        seconds = self._limits.deadline_seconds
        future = await asyncio.to_thread(self._submit, texts, ready, seconds)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise late() from None

    def encode_in_background(
        self, texts: Sequence[Any], ready: ReadyTask | None = None
    ) -> Encoded:
        """Encodes any number of texts in the background, and blocks the thread.

        Without a task, the learner's encoder encodes them.

        Raises:
          ApiError: if the deadline has passed.
        """
        seconds = self._limits.adaptation_deadline_seconds
        future = self._submit(texts, ready, seconds, background=True)
        try:
            return future.result(seconds)
        except TimeoutError:
            raise late() from None

    def _submit(
        self,
        texts: Sequence[Any],
        ready: ReadyTask | None,
        seconds: float,
        background: bool = False,
    ) -> concurrent.futures.Future[Encoded]:
        return self._queue.submit(
            texts,
            seconds=seconds,
            key=None if ready is None else ready.encoder_key,
            adapted=None if ready is None else ready.learned.encoder,
            background=background,
        )
