"""Generation with an adapted generative model."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, tasks
from metaflax.data.batching._seq2seq_tokens import PairLayout, tokenize_prompts
from metaflax.models.generation._decoding import DecodingConfig
from metaflax.models.generation._generate import GenerateFn
from metaflax.tasks._templates import template_of
from metaflax.workflows.inference._given_inputs import predict_in_batches
from metaflax.workflows.inference._kept_context import load_context
from metaflax.workflows.inference._truncation import TruncationCount
from metaflax.workflows.runs._load_model import load_generative
from metaflax.workflows.runs._loaded_model import LoadedModel

# Lengths that inputs are padded to, to bound the number of compilations.
LENGTHS = (16, 64, 256)


class Generator:
    """Adapted generative model, compiled once per bucket of lengths.

    Args:
      directory: output of `adapt`, or any generative model of Hugging Face: a decoder
        then continues texts, an encoder-decoder summarises them.
      batch_size: number of texts that are generated at a time.
      decoding: how a text is decoded (default: greedily).
      max_new: most tokens of a generated text; None for those of training.

    Attributes:
      task: the task type that the model was adapted to.
      form: the form of its input texts.
      truncation: number of texts so far that were truncated.

    Raises:
      ValueError: if the directory holds no generative model, or a setting of decoding
        is invalid.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import workflows
      >>> sizes = {"vocab_size": 300, "width": 8, "layers": 1, "heads": 2}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "tiny"
      ...     texts = ["it barks and it wags"]
      ...     _ = workflows.new_language_model(path, texts, family="gpt", **sizes)
      ...     generator = workflows.Generator(path, max_new=3)
      ...     [row] = generator(["it barks"])
      >>> sorted(row)
      ['generated', 'score', 'text', 'truncated']
    """

    def __init__(
        self,
        directory: str | Path,
        batch_size: int = 32,
        *,
        decoding: DecodingConfig = DecodingConfig(),  # noqa: B008 (frozen)
        max_new: int | None = None,
    ):
        self._model = load_generative(config_lib.ModelConfig(name=str(directory)))
        texts = data_config(self._model, max_new)
        self._model = self._model.with_room(texts)
        self.task = saved_task(self._model, texts)
        self._layout = self._model.text_layout(texts, self.task.texts)
        self._params = jax.device_put(self._model.pretrained.params)
        self._generate = self._model.generator(self._layout, decoding)
        self._context = None
        if self._model.pretrained.purpose.get("in_context"):
            self._context = load_context(self._model, texts, self.task)
            self._generate = _after_context(self._model, self._layout, decoding)
        self.form = self.task.form
        self.batch_size = batch_size
        self.truncation = TruncationCount()
        most = self._layout.max_source_length
        self._buckets = data.Buckets(
            (*(n for n in LENGTHS if n < most), most), budget_ratio=4.0
        )

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns predictions for any number of texts, in order.

        Args:
          texts: inputs in the form of the task type, rows by column, or texts.

        Raises:
          ValueError: naming a text that is none of these.
        """
        return predict_in_batches(self._batch, self.form, texts, self.batch_size)

    def _batch(self, texts: list[Any]) -> list[dict[str, Any]]:
        level = self.task.texts
        assert level is not None
        prompts = tokenize_prompts(
            self._model.tokenizer, texts, level=level, layout=self._layout
        )
        fields = self.truncation.records(prompts)
        rows = np.arange(len(texts))
        batch = data.collate_texts(prompts, rows, self.batch_size, self._buckets)
        weights = self._params
        if self._context is not None:
            weights = weights, self._context
        outputs = jax.tree.map(np.asarray, self._generate(weights, batch))
        generated = [
            (self._model.text(ids, mask), score)
            for ids, mask, score in list(zip(*outputs, strict=True))[: len(texts)]
        ]
        predictions = self.task.decode(generated, [])
        rows = zip(map(self.form.row, texts), predictions, fields, strict=True)
        return [{**row, **prediction, **more} for row, prediction, more in rows]

    def notes(self) -> list[str]:
        """Returns a sentence about the texts that were truncated."""
        return self.truncation.notes(self._layout.max_source_length, "shorten them")


def _after_context(
    model: LoadedModel, layout: PairLayout, decoding: DecodingConfig
) -> GenerateFn:
    """Returns a decoder conditioned on a context, compiled once per shape."""

    def generate(params: Any, prompts: Any, key: Any = None) -> Any:
        weights, context = params
        return model.generator(layout, decoding, context)(weights, prompts, key)

    return jax.jit(generate)


def saved_task(model: LoadedModel, texts: config_lib.DataConfig) -> tasks.TaskType:
    """Returns the task type that a model was adapted to, with its template."""
    directory = config_lib.ModelConfig(name=str(model.pretrained.directory))
    task = config_lib.build_task(config_lib.Config(directory, texts))
    template = model.pretrained.purpose.get("template")
    if template is None:
        return task
    return task.written(template_of(template, f"{model.pretrained.directory}"))


def data_config(model: LoadedModel, max_new: int | None) -> config_lib.DataConfig:
    """Returns the task type and lengths of a model's adaptation, or suitable ones."""
    purpose = model.pretrained.purpose
    task = purpose.get("task", model.family.default_task)
    config = model.fitted(dataclasses.replace(config_lib.DataConfig(), task=task))
    lengths = ("max_length", "max_target_length")
    config = dataclasses.replace(
        config, **{name: purpose[name] for name in lengths if name in purpose}
    )
    if max_new is None:
        return config
    if max_new < 1:
        raise ValueError(f"max_new is {max_new}; give 1 or more.")
    return dataclasses.replace(config, max_target_length=max_new)
