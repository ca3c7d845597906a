"""Service for tasks of many tenants on one encoder."""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaflax import data, target_kinds
from metaflax.few_shot._examples import examples_of, texts_of
from metaflax.serving import _weights
from metaflax.serving._answers import nearest_examples, scores
from metaflax.serving._archive import remove_archive, write_archive
from metaflax.serving._batcher import EncoderQueue
from metaflax.serving._errors import ApiError
from metaflax.serving._limited_threads import LimitedThreads
from metaflax.serving._limits import Limits
from metaflax.serving._metrics import Metrics
from metaflax.serving._store import StoredTask, TaskStore
from metaflax.serving._suggestions import suggestions
from metaflax.serving._task_encoder import TaskEncoder
from metaflax.serving._task_loader import TaskLoader
from metaflax.serving._task_memory import ReadyTask, TaskMemory
from metaflax.serving._warm_up import warm_up
from metaflax.serving._words import without_each_word, word_effects
from metaflax.workflows.inference._selection import Strategy
from metaflax.workflows.learning._cross_validation import (
    cross_validate,
    leaves_one_out,
)
from metaflax.workflows.learning._head_choice import DEFAULT_HEAD
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded

LOG = logging.getLogger("metaflax.serving")
# Status of a service that has compiled its programs.
READY = "ok"
# Attempts to change a task that is changed concurrently.
ATTEMPTS = 5
# Numbers of concurrent adaptations. Tasks on a shared encoder are output layers: while
# one waits for its features, others are fitted. Other adaptations need memory for
# gradients of the encoder, and run one at a time.
ADAPTATIONS_AT_ONCE = 4
# Number of concurrent suggestions and explanations, which share batches of the encoder.
SUGGESTIONS_AT_ONCE = 4


class Service:
    """Operations of the HTTP interface, as functions of tenants.

    Args:
      learner: learner of tasks.
      store: store of tasks.
      limits: limits of requests.

    Raises:
      ValueError: if the learner does not classify single texts, or needs texts without
        labels.
    """

    def __init__(self, learner: Learner, store: TaskStore, limits: Limits):
        kind = target_kinds.of(learner.task)
        if not kind.single_label or learner.task.form.name != "text":
            raise ValueError(
                f"the service classifies single texts, and {learner.config.data.task}"
                " does not; name a run of classification, or a pretrained model."
            )
        if learner.takes_unlabelled:
            raise ValueError(
                f"the head {learner.config.algorithm.head} also learns from texts"
                " without labels, which the service does not take; name another."
            )
        self.learner, self.store, self.limits = learner, store, limits
        self.metrics = Metrics()
        self.status = "warming up"
        self._queue = EncoderQueue(
            learner.encoder, limits.max_waiting_texts, self.metrics.count_batch
        )
        self._encoder = TaskEncoder(self._queue, limits)
        at_once = ADAPTATIONS_AT_ONCE if learner.shares_encoder else 1
        self._adaptations = LimitedThreads("adaptations", limits, at_once)
        self._suggestions = LimitedThreads(
            "suggestions or explanations", limits, SUGGESTIONS_AT_ONCE
        )
        self._memory = TaskMemory()
        self._loader = TaskLoader(learner, store, self._memory)

    def warm_up(self) -> None:
        """Compiles programs for usual requests, after which `status` is ok."""
        try:
            warm_up(self.learner)
        except Exception:
            LOG.exception("the service cannot compile its programs")
            self.status = "compilation failed; the log of the service has the cause"
        else:
            self.status = READY

    def close(self) -> None:
        """Ends all threads; waiting requests fail."""
        self._queue.close()
        self._adaptations.close()
        self._suggestions.close()
        self.store.close()

    async def create(
        self, tenant: str, name: str, rows: Sequence[dict[str, Any]]
    ) -> StoredTask:
        """Learns a new task and stores it."""
        self._check_size(rows)
        most = self.limits.max_tasks
        await asyncio.to_thread(self.store.check_room, tenant, most)
        learn = functools.partial(self._learn, rows)
        learned, encoded = await self._adaptations.run(learn)

        def commit() -> StoredTask:
            stored = self.store.create(
                tenant,
                name,
                rows,
                learned.names,
                self.learner.encoder.digest,
                _weights.to_bytes(learned, self.learner),
                most,
            )
            self._memory.keep(ReadyTask(stored, self.learner, learned, encoded))
            return stored

        return await asyncio.to_thread(commit)

    async def extend(
        self, tenant: str, id: str, rows: Sequence[dict[str, Any]]
    ) -> StoredTask:
        """Learns a task from more examples and all earlier ones."""
        deadline = self._adaptations.deadline()
        for _ in range(ATTEMPTS):
            if changed := await self._extend_once(tenant, id, rows, deadline):
                return changed
        raise ApiError(
            409, "conflict", "the task is being changed by others; try again."
        )

    async def _extend_once(
        self, tenant: str, id: str, rows: Sequence[dict[str, Any]], deadline: float
    ) -> StoredTask | None:
        """Learns and stores a task; returns None if it was changed meanwhile."""

        def learn() -> tuple[StoredTask, LearnedTask, Encoded | None]:
            stored = self.store.get(tenant, id)
            all_rows = [*stored.examples, *rows]
            self._check_size(all_rows)
            return stored, *self._learn(all_rows, self._memory.version_of(stored))

        stored, learned, encoded = await self._adaptations.run(learn, deadline)

        def commit() -> StoredTask | None:
            changed = self.store.replace(
                stored,
                [*stored.examples, *rows],
                learned.names,
                self.learner.encoder.digest,
                _weights.to_bytes(learned, self.learner),
            )
            if changed is not None:
                self._memory.keep(ReadyTask(changed, self.learner, learned, encoded))
            return changed

        return await asyncio.to_thread(commit)

    async def get(self, tenant: str, id: str) -> StoredTask:
        """Returns a task."""
        return await asyncio.to_thread(self.store.get, tenant, id)

    async def tasks_of(self, tenant: str) -> list[StoredTask]:
        """Lists the tasks of a tenant."""
        return await asyncio.to_thread(self.store.tasks_of, tenant)

    async def delete(self, tenant: str, id: str) -> None:
        """Deletes a task."""
        await asyncio.to_thread(self.store.delete, tenant, id)
        self._memory.forget(id)

    async def predict(
        self,
        tenant: str,
        id: str,
        texts: Sequence[str],
        *,
        explain: bool = False,
        words: bool = False,
        reject: float | None = None,
    ) -> tuple[StoredTask, list[dict[str, Any]]]:
        """Predicts texts.

        With `explain` predictions have the nearest examples, with `words` the effect
        of each word.
        """
        inputs = _checked(texts_of, texts, self.learner.task)
        ready = await asyncio.to_thread(self._loader.load, tenant, id)
        encoded = await self._encoder.encode(inputs, ready)
        predict = functools.partial(_checked, ready.learner.predict)
        records = await asyncio.to_thread(
            predict, ready.learned, inputs, encoded, reject
        )
        if explain:
            examples = ready.encoded
            if examples is None:
                encode = functools.partial(self._encode_examples, ready)
                examples = await self._suggestions.run(encode)
            nearest = nearest_examples(encoded, examples, ready.stored.examples)
            records = [
                {**r, "nearest": n} for r, n in zip(records, nearest, strict=True)
            ]
        if words:
            parts = self._without_words(texts)
            explain_words = functools.partial(self._word_effects, ready, parts, encoded)
            effects = await self._suggestions.run(explain_words)
            records = [{**r, "words": w} for r, w in zip(records, effects, strict=True)]
        return ready.stored, records

    def _without_words(self, texts: Sequence[str]) -> list[list[tuple[str, str]]]:
        """Returns the words of each text, and the text without each of them."""
        parts = [without_each_word(text) for text in texts]
        number = sum(map(len, parts))
        if number > (most := self.limits.max_examples):
            raise ApiError(
                422,
                "too_many_words",
                f"the texts have {number} words, and at most {most} are explained at"
                " once; send fewer texts.",
            )
        return parts

    def _word_effects(
        self,
        ready: ReadyTask,
        parts: Sequence[Sequence[tuple[str, str]]],
        encoded: Encoded,
    ) -> list[list[dict[str, Any]]]:
        """Compares predictions of texts with those of the texts without each word."""
        words = [[word for word, _ in part] for part in parts]
        shortened = [rest for part in parts for _, rest in part]
        whole = ready.learner.probabilities(ready.learned, encoded)
        if not shortened:
            return word_effects(words, whole, whole[:0])
        inputs = texts_of(shortened, self.learner.task)
        rest = self._encoder.encode_in_background(inputs, ready)
        without = ready.learner.probabilities(ready.learned, rest)
        return word_effects(words, whole, without)

    async def suggest(
        self,
        tenant: str,
        id: str,
        texts: Sequence[str],
        number: int,
        strategy: Strategy,
    ) -> tuple[StoredTask, list[dict[str, Any]]]:
        """Suggests which unlabelled texts to label next."""
        if len(texts) > (most := self.limits.max_examples):
            raise ApiError(422, "too_many_texts", f"send at most {most} texts.")

        def suggest() -> tuple[StoredTask, list[dict[str, Any]]]:
            ready = self._loader.load(tenant, id)
            labelled = {row["text"] for row in ready.stored.examples}
            pool = [text for text in dict.fromkeys(texts) if text not in labelled]
            if not pool:
                return ready.stored, []
            inputs = _checked(texts_of, pool, self.learner.task)
            encoded = self._encoder.encode_in_background(inputs, ready)
            return ready.stored, suggestions(
                ready.learner, ready.learned, pool, encoded, number, strategy
            )

        return await self._suggestions.run(suggest)

    async def archive(self, tenant: str, id: str) -> Path:
        """Writes a task as a zipped model into a new folder."""
        ready = await asyncio.to_thread(self._loader.load, tenant, id)

        examples = self._examples(ready.stored.examples)
        write = functools.partial(_checked, write_archive)
        return await self._adaptations.run(
            functools.partial(write, ready.learner, ready.learned, examples),
            discard=remove_archive,
        )

    async def evaluate(
        self, tenant: str, id: str, rows: Sequence[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """Evaluates a task on held-out examples, or by cross-validation on its own."""
        if rows is None:
            evaluate = functools.partial(self._cross_validate, tenant, id)
        else:
            self._check_number(rows)
            evaluate = functools.partial(self._score_held_out, tenant, id, rows)
        return await self._adaptations.run(evaluate)

    def _cross_validate(self, tenant: str, id: str) -> dict[str, Any]:
        ready = self._loader.load(tenant, id)
        rows, encoded = ready.stored.examples, ready.encoded
        examples = self._examples(rows)
        if encoded is None and ready.learner.shares_encoder:
            encoded = self._encoder.encode_in_background(examples.texts)
            self._memory.keep(ready._replace(encoded=encoded))
        records = _checked(
            cross_validate,
            ready.learner,
            examples,
            ready.learned.names,
            encoded,
            ready.learned.choice or DEFAULT_HEAD,
        )
        by_one = leaves_one_out(len(rows))
        method = "leave_one_out" if by_one else "cross_validation"
        return {"method": method, **scores(rows, examples, records)}

    def _score_held_out(
        self, tenant: str, id: str, rows: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        examples, ready = self._examples(rows), self._loader.load(tenant, id)
        encoded = self._encoder.encode_in_background(examples.texts, ready)
        records = ready.learner.predict(ready.learned, examples.texts, encoded)
        return {"method": "held_out", **scores(rows, examples, records)}

    def _examples(self, rows: Sequence[dict[str, Any]]) -> data.Examples:
        return _checked(examples_of, rows, self.learner.task)

    def _check_number(self, rows: Sequence[dict[str, Any]]) -> None:
        if len(rows) > (most := self.limits.max_examples):
            raise ApiError(
                422, "too_many_examples", f"a task has at most {most} examples."
            )

    def _check_size(self, rows: Sequence[dict[str, Any]]) -> None:
        """Checks the sizes of examples, before they are queued."""
        self._check_number(rows)
        names = {labels[0] for labels in self._examples(rows).labels}
        if len(names) < 2:
            raise ApiError(
                422, "one_class", "the examples have one class; give at least two."
            )

    def _learn(
        self, rows: Sequence[dict[str, Any]], before: ReadyTask | None = None
    ) -> tuple[LearnedTask, Encoded | None]:
        """Learns a task from rows, the first of which may be those of a version.

        Returns:
          The task, and the features of its examples if it shares the encoder.
        """
        started = time.monotonic()
        examples, encoded = self._examples(rows), None
        if self.learner.shares_encoder:
            known = before.encoded if before is not None else None
            done = 0 if known is None else len(known.features)
            new = self._encoder.encode_in_background(examples.texts[done:])
            parts = [new] if known is None else [known, new]
            encoded = Encoded(*map(np.concatenate, zip(*parts, strict=True)))
        names = sorted({labels[0] for labels in examples.labels})
        learned = _checked(self.learner.learn, examples, names, encoded=encoded)
        self.metrics.adaptation_seconds.observe(time.monotonic() - started)
        return learned, encoded

    def _encode_examples(self, ready: ReadyTask) -> Encoded:
        texts = self._examples(ready.stored.examples).texts
        encoded = self._encoder.encode_in_background(texts, ready)
        if ready.learned.shares_encoder:
            self._memory.keep(ready._replace(encoded=encoded))
        return encoded

    @property
    def waiting_texts(self) -> int:
        """Number of texts of predictions that are waiting for the encoder."""
        return self._queue.waiting


def _checked(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function whose ValueErrors are the client's fault."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise ApiError(422, "unusable", str(error)) from None
