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
      limits: limits on the time of predictions, and of adaptations in the background.
    """

    def __init__(self, queue: EncoderQueue, limits: Limits):
        self._queue, self._limits = queue, limits

    async def encode(
        self, texts: Sequence[Any], ready: ReadyTask, *, background: bool = False
    ) -> Encoded:
        """Encodes texts with the encoder of a task; any number in the background.

        Raises:
          ApiError: if too many texts wait, or the deadline has passed.
        """
        future = await asyncio.to_thread(self._submit, texts, ready, background)
        try:
            async with asyncio.timeout(self._seconds(background)):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise late() from None

    def encode_in_background(
        self, texts: Sequence[Any], ready: ReadyTask | None = None
    ) -> Encoded:
        """Encodes texts as `encode` in the background, and blocks the thread.

        Without a task, the learner's encoder encodes them.
        """
        future = self._submit(texts, ready, background=True)
        try:
            return future.result(self._seconds(background=True))
        except TimeoutError:
            raise late() from None

    def _submit(
        self, texts: Sequence[Any], ready: ReadyTask | None, background: bool
    ) -> concurrent.futures.Future[Encoded]:
        return self._queue.submit(
            texts,
            seconds=self._seconds(background),
            key=None if ready is None else ready.encoder_key,
            adapted=None if ready is None else ready.learned.encoder,
            background=background,
        )

    def _seconds(self, background: bool) -> float:
        limits = self._limits
        if background:
            return limits.adaptation_deadline_seconds
        return limits.deadline_seconds
