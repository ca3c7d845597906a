"""Settings of a few-shot learner."""

import dataclasses

from metaflax.config._model_settings import PairEncoding
from metaflax.config._types import misfits


@dataclasses.dataclass(frozen=True)
class LearnerSettings:
    """The model that learns tasks, and how it learns them.

    None keeps the setting of a run, or the default of `config.AlgorithmConfig` where
    the model is no run. Of a run only the encoder is used where an algorithm, a head or
    a setting of the head is named.

    The head `auto` is chosen for each task by cross-validation on its examples. It
    serves without a name below frozen pretrained weights, for one class an input and
    where neither strength nor temperature is given.

    Attributes:
      model: run directory, directory or hub name of a pretrained model, or `minilm`.
      task: name of the task type, or its import path.
      algorithm: name of the algorithm, or its import path.
      head: name of the output layer, or its import path, or `auto`.
      strength: regularisation strength of closed-form heads such as ridge.
      temperature: scale of distances in heads such as prototypes.
      adapts: patterns of the parameter paths that inner steps adapt.
      num_steps: inner steps.
      inner_learning_rate: learning rate of inner steps.
      max_length: most tokens of a text; longer texts are truncated.
      batch_size: most texts in one call of the encoder.
      pair_encoding: how pairs of texts are encoded.
      capitals: whether features of a word say that it begins with a capital.
    """

    model: str = "minilm"
    task: str = "classification"
    algorithm: str | None = None
    head: str | None = None
    strength: float | None = None
    temperature: float | None = None
    adapts: tuple[str, ...] | None = None
    num_steps: int | None = None
    inner_learning_rate: float | None = None
    max_length: int | None = None
    batch_size: int = 32
    pair_encoding: PairEncoding | None = None
    capitals: bool | None = None

    def __post_init__(self):
        if wrong := misfits(self):
            raise ValueError(f"{wrong[0]}; give one of that type.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; give 1 or more.")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; give 1 or more.")

    @property
    def needs_new_head(self) -> bool:
        """Whether the head of a run cannot serve."""
        named = (self.algorithm, self.head, self.strength, self.temperature)
        return any(setting is not None for setting in named)
