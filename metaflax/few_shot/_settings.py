"""Settings of a few-shot learner."""

import dataclasses

from metaflax.config._algorithm_settings import EntityTyping
from metaflax.config._model_settings import PairEncoding
from metaflax.config._types import misfits


@dataclasses.dataclass(frozen=True)
class LearnerSettings:
    """Settings of the model that learns tasks, and of its adaptation.

    None keeps the setting of a run, or the default of `config.AlgorithmConfig` if the
    model is not a run. If an algorithm, a head or a setting of the head is named, only
    the encoder of a run is used.

    With `auto`, the head of each task is chosen by cross-validation on its examples.
    This is the default on a frozen pretrained encoder, for one class per input and if
    neither strength nor temperature is set.

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
      pair_encoding: encoding of pairs of texts.
      capitals: whether features of a word tell whether it begins with a capital.
      entity_typing: typing of entities by words or by spans.
      entity_threshold: log-odds of being in an entity that a word of a span exceeds.
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
    entity_typing: EntityTyping | None = None
    entity_threshold: float | None = None

    def __post_init__(self):
        if wrong := misfits(self):
            raise ValueError(f"{wrong[0]}; give one of that type.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; give 1 or more.")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; give 1 or more.")

    @property
    def needs_new_head(self) -> bool:
        """True if the head of a run cannot be used."""
        named = (self.algorithm, self.head, self.strength, self.temperature)
        return any(setting is not None for setting in named)
