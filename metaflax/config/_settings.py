"""All settings of a run, as frozen dataclasses."""

import dataclasses

from metaflax.config._algorithm_settings import AlgorithmConfig
from metaflax.config._data_settings import DataConfig, EpisodeConfig
from metaflax.config._model_settings import ModelConfig
from metaflax.config._training_settings import TrainingConfig
from metaflax.models.generation._decoding import DecodingConfig


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(DecodingConfig):
    """Meta-testing, and how generative models decode in it.

    Examples:
      >>> import dataclasses
      >>> from metaflax import config
      >>> evaluation = config.EvaluationConfig(test_episodes=1000, num_beams=4)
      >>> other_episodes = dataclasses.replace(evaluation, test_seed=2)
      >>> other_episodes.test_episodes, other_episodes.num_beams
      (1000, 4)
    """

    test_episodes: int = 600
    """Number of test episodes, the same ones before and after training."""
    test_seed: int = 1
    """Seed for sampling test episodes."""
    batch_episodes: int = 10
    """Episodes scored in one call (on CPU one where the encoder adapts)."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
      model: the pretrained model.
      data: the texts.
      episodes: sizes of the episodes.
      algorithm: the meta-learning algorithm and its inner loop.
      training: the outer loop.
      evaluation: meta-testing.

    Examples:
      >>> import dataclasses
      >>> from metaflax import config
      >>> settings = config.Config(
      ...     data=config.DataConfig(path="pets.csv"),
      ...     episodes=config.EpisodeConfig(way=5, shot=1),
      ...     algorithm=config.AlgorithmConfig(name="anil"),
      ... )
      >>> config.check(settings)
      >>> relations = dataclasses.replace(settings.data, task="relations")
      >>> config.build_task(dataclasses.replace(settings, data=relations)).form.name
      'mention'
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    episodes: EpisodeConfig = dataclasses.field(default_factory=EpisodeConfig)
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
