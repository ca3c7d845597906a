"""Configs of runs as frozen dataclasses, and factories of the objects they name.

The command line, the Python files under `experiments/` and `config.json` of a run
directory all define the same `Config`.
"""

from metaflax.config._algorithm_settings import AlgorithmConfig as AlgorithmConfig
from metaflax.config._check import check as check
from metaflax.config._data_settings import Count as Count
from metaflax.config._data_settings import DataConfig as DataConfig
from metaflax.config._data_settings import EpisodeConfig as EpisodeConfig
from metaflax.config._factories import build_task as build_task
from metaflax.config._files import from_json as from_json
from metaflax.config._files import load_file as load_file
from metaflax.config._mixture import MixtureConfig as MixtureConfig
from metaflax.config._mixture import ShareConfig as ShareConfig
from metaflax.config._mixture import TaskMember as TaskMember
from metaflax.config._mixture import TextMember as TextMember
from metaflax.config._mixture import check_mixture as check_mixture
from metaflax.config._model_settings import ModelConfig as ModelConfig
from metaflax.config._pretraining import LoopConfig as LoopConfig
from metaflax.config._pretraining import NetworkConfig as NetworkConfig
from metaflax.config._pretraining import PretrainConfig as PretrainConfig
from metaflax.config._pretraining import RawTextConfig as RawTextConfig
from metaflax.config._search import Choice as Choice
from metaflax.config._search import Integers as Integers
from metaflax.config._search import LogUniform as LogUniform
from metaflax.config._search import SearchConfig as SearchConfig
from metaflax.config._search import Uniform as Uniform
from metaflax.config._settings import Config as Config
from metaflax.config._settings import EvaluationConfig as EvaluationConfig
from metaflax.config._training_settings import TrainingConfig as TrainingConfig
from metaflax.models.generation._decoding import DecodingConfig as DecodingConfig

__all__ = [
    "AlgorithmConfig",
    "Choice",
    "Config",
    "Count",
    "DataConfig",
    "DecodingConfig",
    "EpisodeConfig",
    "EvaluationConfig",
    "Integers",
    "LogUniform",
    "LoopConfig",
    "MixtureConfig",
    "ModelConfig",
    "NetworkConfig",
    "PretrainConfig",
    "RawTextConfig",
    "SearchConfig",
    "ShareConfig",
    "TaskMember",
    "TextMember",
    "TrainingConfig",
    "Uniform",
    "build_task",
    "check",
    "check_mixture",
    "from_json",
    "load_file",
]
