"""Prediction of classes and choices by their likelihood under a generative model."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import base
from metaflax import config as config_lib
from metaflax.data.batching._choice_batches import (
    WrittenChoices,
    stack_rows,
    with_content_free,
)
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.models.pretrained import _files
from metaflax.workflows.inference._generate import data_config, saved_task
from metaflax.workflows.inference._given_inputs import predict_in_batches
from metaflax.workflows.inference._kept_context import left_out_notes, load_context
from metaflax.workflows.inference._truncation import TruncationCount
from metaflax.workflows.runs._load_model import load_generative


class Chooser:
    """Generative model that predicts the likeliest class or choice of a text.

    Args:
      directory: output of `adapt`, of a task type with classes or choices.
      batch_size: number of texts that are scored at a time.

    Attributes:
      task: the task type that the model was adapted to.
      form: the form of its input texts.
      truncation: number of texts so far that were truncated.

    Raises:
      ValueError: if the directory holds no such model.
    """

    def __init__(self, directory: str | Path, batch_size: int = 32):
        model = load_generative(config_lib.ModelConfig(name=str(directory)))
        self._texts = data_config(model, None)
        self._model = model = model.with_room(self._texts)
        self.task = saved_task(model, self._texts)
        purpose = model.pretrained.purpose
        self._names = tuple(purpose["labels"])
        self._calibrate = bool(purpose.get("calibrate"))
        self._context = None
        if purpose.get("in_context"):
            self._context = load_context(model, self._texts, self.task)
        self._params = jax.device_put(model.pretrained.params)
        self.form, self.batch_size = self.task.form, batch_size
        self.truncation = TruncationCount()

        def outputs(params: Any, context: Any, choices: Any) -> base.ClassOutputs:
            language = model.language
            assert language is not None
            if context is not None:
                assert language.after is not None
                language = language.after(context)
            return language.apply(params, choices, None)

        self._outputs = jax.jit(outputs)

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns predictions for any number of texts, in order.

        Args:
          texts: inputs in the form of the task type, rows by column, or texts.

        Raises:
          ValueError: naming a text that is none of these.
        """
        return predict_in_batches(self._predicted, self.form, texts, self.batch_size)

    def _predicted(self, texts: list[Any]) -> list[dict[str, Any]]:
        written = self._model.write_choices(
            texts, self._names, self._texts, self.task, calibrate=self._calibrate
        )
        fields = self.truncation.records_of(written.coverage)
        outputs = self._outputs(
            self._params, self._context, self._batch(written, len(texts))
        )
        logits = np.asarray(outputs.logits)[: len(texts)]
        predictions = self.task.decode(outputs._replace(logits=logits), self._names)
        rows = zip(texts, predictions, fields, strict=True)
        return [
            {**self.form.row(text), **self.task.describe(text, prediction), **more}
            for text, prediction, more in rows
        ]

    def notes(self) -> list[str]:
        """Returns sentences about what was truncated or left out."""
        notes = self.truncation.notes(self._texts.max_length, "shorten them")
        if self._context is not None:
            notes += left_out_notes(self._context)
        return notes

    def _batch(self, written: WrittenChoices, num_texts: int) -> Any:
        """Stacks texts with their choices, padded to `batch_size`."""
        names = [written.choices_of(n, self._names) for n in range(num_texts)]
        rows = [written.row(n, choices) for n, choices in enumerate(names)]
        most = max(map(len, names))
        none = [np.zeros(0, np.int32)]
        size, pad = self.batch_size, written.pad_id
        batch = stack_rows([rows], none, size, most, [0], pad)
        if written.content_free:
            blank = [
                [written.row(0, choices, parts) for parts in written.content_free]
                for choices in names
            ]
            sizes = EpisodeSizes(most, 0, size)
            batch = with_content_free(batch, [blank], sizes, [0], pad)
        return jax.tree.map(lambda leaf: leaf[0], batch.inputs)


def is_chooser(directory: str | Path) -> bool:
    """Returns whether a directory holds a generative model for classes or choices."""
    path = Path(directory).expanduser() / "config.json"
    return path.is_file() and "labels" in _files.ours(_files.read_json(path), path)
