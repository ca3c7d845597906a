"""Predictor of adapted encoders: labels and probabilities of texts."""

import dataclasses
import functools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import config as config_lib
from metaflax import data, models, target_kinds, tasks, tree
from metaflax._wording import see
from metaflax.workflows.inference._given_inputs import inputs_of
from metaflax.workflows.inference._saved_model import saved_decoding
from metaflax.workflows.inference._truncation import TruncationCount
from metaflax.workflows.learning._predictions import decode
from metaflax.workflows.learning._rejection import Rejection
from metaflax.workflows.runs._calibration import Calibration, calibration_of
from metaflax.workflows.runs._length_batches import (
    TOKENS_PER_TEXT,
    LengthBatches,
    encoded,
    in_order,
)
from metaflax.workflows.runs._token_outputs import reading

# Factors of `batch_size` for the number of texts that are sorted by length together;
# smaller for predictions of tokens, which are kept in memory for the whole window.
WINDOW, TOKEN_WINDOW = 32, 8
DTYPES = ("float32", "bfloat16")
# Task types by Hugging Face's problem type of a classifier.
TASK_NAMES = {
    "multi_label_classification": "multilabel_classification",
    "regression": "regression",
}


class Predictor:
    """Classifier, tagger or question answerer that batches texts by their lengths.

    Texts are sorted by length and computed in batches of `32 * batch_size` tokens, in
    one of few shapes, each compiled once. Predictions are in the order of the texts.

    Args:
      directory: output of `adapt`, or a sequence classifier of Hugging Face.
      batch_size: number of texts of 32 tokens per call of the network; more shorter
        texts are batched, and fewer longer ones.
      windows: how a classifier of single texts combines the logits of a text that is
        longer than the model's maximum, which is split into windows that overlap by
        half: `mean`, or `max`, the largest per class. None truncates such a text.
      reject: false-rejection rate, the share of texts of known classes that may be
        rejected; a text gets the label None if the confidence of its prediction is
        below the threshold fitted for that rate on meta-validation. None rejects
        nothing.
      dtype: type of the factors of matrix products, which accumulate in float32. With
        `bfloat16` predictions take less time on CPUs with instructions for it (AVX-512
        BF16, AMX) and on accelerators; probabilities change in the third digit.

    Attributes:
      pretrained: the loaded model.
      task: the task type that the model was adapted to.
      names: class names.
      tokenizer: the Hugging Face tokenizer.
      encoder: the network below the output layer.
      params: parameters of the encoder and of the output layer.
      batches: how texts are batched by length.
      window: number of texts that are sorted by length together; calls with this many
        texts are the fastest.
      form: the form of its input texts.
      truncation: number of texts so far that were truncated.
      num_lost: number of texts so far in which truncation removed an entity.
      calibration: temperature and thresholds that were fitted on meta-validation; None
        for a directory that was adapted without a run, or by an earlier version.

    Raises:
      ValueError: if the directory holds no sequence classifier, or one that does not
        support windows, or has no calibration for rejection.

    Examples:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from metaflax import models, workflows
      >>> sizes = {"vocab_size": 40, "width": 8, "layers": 1, "heads": 2}
      >>> texts = ["it barks", "it purrs"]
      >>> head = {"kernel": np.zeros((8, 2)), "bias": np.array([0.0, np.log(3)])}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "encoder"
      ...     _ = workflows.new_language_model(path, texts, family="bert", **sizes)
      ...     encoder = models.load(path)
      ...     models.save(
      ...         path.with_name("classifier"),
      ...         encoder.config,
      ...         encoder.params,
      ...         tokenizer_from=path,
      ...         head=head,
      ...         labels=("cat", "dog"),
      ...         pooling="first",
      ...         head_apart=True,
      ...     )
      ...     predictor = workflows.Predictor(path.with_name("classifier"))
      ...     [row] = predictor(["it barks"])
      >>> row["label"], round(row["probabilities"]["dog"], 2)
      ('dog', 0.75)
    """

    def __init__(
        self,
        directory: str | Path,
        batch_size: int = 32,
        *,
        windows: Literal["mean", "max"] | None = None,
        reject: float | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ):
        _check_dtype(dtype)
        pretrained = models.load(directory)
        if pretrained.head is None or pretrained.labels is None:
            raise ValueError(
                f"{directory} holds an encoder without an output layer; run `metaflax"
                f" adapt --model {directory}` on labelled texts first."
            )
        self.pretrained = pretrained
        self.task = saved_task(pretrained)
        self.names = list(pretrained.labels)
        self.form = self.task.form
        self.batch_size = batch_size
        self._combine = None if windows is None else _combination(windows, self.task)
        self.truncation, self.num_lost = TruncationCount(), 0
        self.calibration = _saved_calibration(pretrained)
        self._rejection = None if reject is None else self._rejection_at(reject)
        family = pretrained.family
        self.tokenizer = pretrained.tokenizer()
        self._positions = min(
            family.max_positions(pretrained.config),
            self.tokenizer.model_max_length,
            # None in directories of earlier versions, and of other libraries.
            pretrained.max_length or sys.maxsize,
        )
        self.encoder = encoder = self.form.encoder(
            family.encoder(
                pretrained.config,
                pooling=pretrained.pooling,
                standardize=pretrained.standardize,
                dtype=jnp.dtype(dtype),
            )
        )
        kernels = _kernels_in(pretrained.params, jnp.dtype(dtype))
        self.params = jax.device_put((kernels, pretrained.head))
        self._num_outputs = int(np.size(pretrained.head["bias"]))
        self.batches = LengthBatches.up_to(
            self.form.row_length(self._positions), batch_size * TOKENS_PER_TEXT
        )
        self.window = batch_size * (
            WINDOW if self.task.tokens is None else TOKEN_WINDOW
        )

        linear = target_kinds.of(self.task).linear

        def logits(params, tokens):
            encoder_params, head = params
            features = encoder.apply(encoder_params, tokens, None)
            return linear(head, features)  # [B, N], or [B, L, N] of tokens.

        self._logits = jax.jit(logits)
        self._features = jax.jit(encoder.apply)

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns predictions for any number of texts, in order.

        Args:
          texts: inputs in the form of the task type: strings, or instances of
            `tasks.Pair`, `Question`, `Mention` or `Sentence`, as `data.read_texts`
            returns them; or rows by column, or tuples of the columns that the form
            requires.

        Raises:
          ValueError: naming a text that is none of these.
        """
        inputs = inputs_of(self.form, texts)
        return self._predictions(inputs, self.tokenize(inputs))

    def in_windows(
        self, windows: Iterable[list[Any]]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields predictions for each list of texts, and tokenizes the next meanwhile.

        Args:
          windows: lists of texts; lists of `window` texts are the fastest.
        """
        tokenized = data.prefetch(
            windows,
            size=1,
            transfer=lambda texts: (texts, self.tokenize(texts)),
            patience=1.0,  # A stream may have stalled.
        )
        for texts, tokens in tokenized:
            yield self._predictions(texts, tokens)

    def _predictions(
        self, texts: list[Any], tokenized: data.TokenizedTexts
    ) -> list[dict[str, Any]]:
        """Computes predictions for texts that are tokenized."""
        self.num_lost += tokenized.num_lost
        logits = self._outputs(tokenized)
        fields = self.truncation.records(tokenized)
        if self._combine is not None and tokenized.owners is not None:
            logits, counts = _by_text(logits, tokenized.owners, self._combine)
            fields = [f | {"windows": n} for f, n in zip(fields, counts, strict=True)]
        predictions = self._decoded(texts, tokenized, logits)
        rows = zip(texts, predictions, fields, strict=True)
        return [
            {**self.form.row(text), **self.task.describe(text, prediction), **more}
            for text, prediction, more in rows
        ]

    @property
    def temperature(self) -> float:
        """Temperature that divides logits; 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def max_length(self) -> int:
        """Largest number of tokens of a text that the model takes."""
        return self._positions

    @property
    def num_rejected(self) -> int:
        """Number of texts so far that were rejected."""
        return 0 if self._rejection is None else self._rejection.num_rejected

    def _rejection_at(self, rate: float) -> Rejection:
        if self.calibration is None:
            raise ValueError(
                f"{self.pretrained.directory} has no threshold to reject texts by,"
                " which is fitted on meta-validation; adapt it again from a run (--run)"
                " of a task type with one class per text, or leave the rejection out."
                + see("howto/out_of_scope")
            )
        return Rejection(self.calibration, rate, len(self.names))

    def _decoded(
        self, texts: list[Any], tokenized: data.TokenizedTexts, logits: np.ndarray
    ) -> list[dict[str, Any]]:
        """Decodes logits, scaled by the temperature, and applies the rejection."""
        if self.task.tokens is not None:
            outputs = reading(texts, np.arange(len(texts)), tokenized, logits)
            return self.task.decode(outputs, self.names)
        return decode(logits, self.task, self.names, self.calibration, self._rejection)

    def notes(self) -> list[str]:
        """Returns sentences about texts that were truncated or rejected."""
        windows = " or read them in windows (`windows`, --windows)"
        advice = f"shorten them{windows if self.form.encode_windows else ''}"
        notes = self.truncation.notes(self._positions, advice)
        if self.num_lost:
            notes.append(f"{self.num_lost} of them lost an entity.")
        if self._rejection is not None:
            notes += self._rejection.notes()
        return notes

    def tokenize(self, texts: list[Any]) -> data.TokenizedTexts:
        """Tokenizes texts of the model's form, truncated or in windows."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=self._positions,
            form=self.form if self._combine is None else self.form.in_windows(),
            on_long="truncate",
            max_positions=self._positions,
        )

    def features(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        """Computes the vectors that the output layer of a text takes, `[R, D]`."""
        apply = functools.partial(self._features, self.params[0])
        rows = np.arange(len(tokenized))
        batches = encoded(apply, tokenized, rows, self.batches)
        return in_order(batches, len(rows), self.encoder.num_features)

    def _outputs(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        """Computes the logits of every row, `[R, N]` or `[R, L, N]`."""
        rows = np.arange(len(tokenized))
        apply = functools.partial(self._logits, self.params)
        batches = encoded(apply, tokenized, rows, self.batches)
        if self.task.tokens is None:
            return in_order(batches, len(rows), self._num_outputs)
        longest = int(tokenized.lengths.max(initial=0))
        logits = np.zeros((len(rows), longest, self._num_outputs), np.float32)
        for part, chunk in batches:
            length = min(chunk.shape[1], longest)
            logits[part, :length] = chunk[:, :length]
        return logits


def _check_dtype(dtype: str) -> None:
    """Checks the type of the factors of matrix products.

    Raises:
      ValueError: if the type is not supported.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it is {' or '.join(DTYPES)}.")


def _kernels_in(params: Any, dtype: Any) -> Any:
    """Casts kernels of dense layers once, rather than in each batch."""
    is_kernel = tree.where("*/kernel")
    return jax.tree_util.tree_map_with_path(
        # No copy of kernels that have the type: they may be memory-mapped.
        lambda path, x: (
            x.astype(dtype, copy=False) if is_kernel(tree.path_name(path)) else x
        ),
        params,
    )


def _combination(windows: str, task: tasks.TaskType) -> np.ufunc:
    """Returns the ufunc that reduces the logits of the windows of a text.

    Raises:
      ValueError: if the combination is unknown, or the task type has no windows.
    """
    known = {"mean": np.add, "max": np.maximum}
    if windows not in known:
        raise ValueError(f"windows is {windows!r}; it is {' or '.join(known)}.")
    if not target_kinds.of(task).has_classes or task.tokens is not None:
        raise ValueError(
            "windows are for classifiers of texts, and this model predicts"
            f" {target_kinds.of(task).noun}; leave the windows out."
        )
    task.form.in_windows()  # Raises for forms of more than one text.
    return known[windows]


def _by_text(
    logits: np.ndarray, owners: np.ndarray, combine: np.ufunc
) -> tuple[np.ndarray, list[int]]:
    """Combines the logits `[R, N]` of windows, and counts the windows of each text."""
    counts = np.bincount(owners)  # Every text has a window.
    firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    combined = combine.reduceat(logits, firsts, axis=0)  # [U, N]
    if combine is np.add:
        combined = combined / counts[:, None].astype(combined.dtype)
    return combined, counts.tolist()


def _saved_calibration(
    pretrained: models.pretrained.Pretrained,
) -> Calibration | None:
    """Reads the calibration of an adapted directory."""
    record = pretrained.purpose.get("calibration")
    if record is None:
        return None
    return calibration_of(record, str(pretrained.directory / "config.json"))


def saved_task(pretrained: models.pretrained.Pretrained) -> tasks.TaskType:
    """Returns the task type of a saved classifier.

    It follows from the problem type if `adapt` did not write the classifier.
    """
    config = config_lib.Config(
        model=config_lib.ModelConfig(
            pair_encoding=pretrained.pair_encoding, capitals=pretrained.capitals
        ),
        algorithm=saved_decoding(pretrained),
    )
    name = pretrained.task or TASK_NAMES.get(
        pretrained.problem_type or "", "classification"
    )
    data_config = dataclasses.replace(config.data, task=name)
    return config_lib.build_task(dataclasses.replace(config, data=data_config))
