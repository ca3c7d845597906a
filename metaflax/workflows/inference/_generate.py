"""Generate with an adapted directory: texts in, what is said of them out."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, models
from metaflax.workflows.runs._language_model import Speaker, load_speaker, within

# Shapes of prompts: so many compilations at most.
LENGTHS = (16, 64, 256)


class Generator:
    """An adapted language model, compiled once per bucket of lengths.

    Args:
      directory: what `adapt` wrote, or any GPT-2 or encoder-decoder of Hugging Face:
        the former then goes on with texts, the latter says texts of them.
      batch_size: texts in one call.
      num_beams: of the search that generates; 1 for the likeliest word each time.
      repetition_penalty: above 1, against words that a text has said before.
      max_new: the most tokens of a text that is generated; None as in training.

    Attributes:
      form: of the texts that it reads.
      num_truncated: number of texts so far that were too long and were truncated.

    Raises:
      ValueError: if the directory holds no language model, or there is no beam.
    """

    def __init__(
        self,
        directory: str | Path,
        batch_size: int = 32,
        *,
        num_beams: int = 1,
        repetition_penalty: float = 1.0,
        max_new: int | None = None,
    ):
        self._speaker = load_speaker(config_lib.ModelConfig(name=str(directory)))
        texts = _settings(self._speaker, max_new)
        self._task = config_lib.build_task(config_lib.Config(data=texts))
        self._speech = self._speaker.speech(texts)
        self._generate = self._speaker.generator(
            self._speech, num_beams, repetition_penalty
        )
        self._params = jax.device_put(self._speaker.pretrained.params)
        self.form = self._task.form
        self.batch_size = batch_size
        self.num_truncated = 0
        most = self._speech.num_read
        self._buckets = data.Buckets(
            (*(n for n in LENGTHS if n < most), most), budget_ratio=4.0
        )

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Answers for at most `batch_size` texts of the model's form, in order."""
        level = self._task.texts
        assert level is not None
        prompts = data.tokenize_prompts(
            self._speaker.tokenizer, texts, level=level, speech=self._speech
        )
        self.num_truncated += prompts.num_truncated
        rows = np.arange(len(texts))
        batch = data.collate_texts(prompts, rows, self.batch_size, self._buckets)
        said = jax.tree.map(np.asarray, self._generate(self._params, batch))
        generated = [
            (self._speaker.text(ids, mask), score)
            for ids, mask, score in list(zip(*said, strict=True))[: len(texts)]
        ]
        answers = self._task.decode(generated, [])
        rows_of = map(self.form.row, texts)
        return [{**row, **answer} for row, answer in zip(rows_of, answers, strict=True)]

    def notes(self) -> list[str]:
        """Returns a sentence about the texts that were truncated."""
        if not self.num_truncated:
            return []
        return [
            f"{self.num_truncated} texts were truncated to {self._speech.num_read}"
            " tokens; shorten them."
        ]


def _settings(speaker: Speaker, max_new: int | None) -> config_lib.DataConfig:
    """Task type and lengths that a directory was adapted with, or that fit it."""
    purpose, own = speaker.pretrained.purpose, speaker.pretrained.config
    is_gpt = isinstance(own, models.GPTConfig)
    texts = dataclasses.replace(
        config_lib.DataConfig(),
        task=purpose.get("task", "language_modelling" if is_gpt else "summarization"),
    )
    texts = dataclasses.replace(
        within(speaker, texts),
        **{k: purpose[k] for k in ("max_length", "max_target_length") if k in purpose},
    )
    if max_new is None:
        return texts
    if max_new < 1:
        raise ValueError(f"max_new is {max_new}; give 1 or more.")
    return dataclasses.replace(texts, max_target_length=max_new)
