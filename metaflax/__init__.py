"""Functional meta-learning for language models in JAX and Flax.

The functional API (algorithms, heads, losses, estimators) loads at once and needs
only jax, optax and chex. Everything that handles text, files or pretrained weights
loads when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from metaflax import _program as _program  # Before what takes long to import.
from metaflax import algorithms as algorithms
from metaflax import base as base
from metaflax import estimators as estimators
from metaflax import heads as heads
from metaflax import inner as inner
from metaflax import inner_optimizers as inner_optimizers
from metaflax import linalg as linalg
from metaflax import losses as losses
from metaflax import metrics as metrics
from metaflax import testing as testing
from metaflax import tree as tree
from metaflax._meta_gradient import value_and_grad as value_and_grad
from metaflax.algorithms import anil as anil
from metaflax.algorithms import boil as boil
from metaflax.algorithms import cavia as cavia
from metaflax.algorithms import compact_rows as compact_rows
from metaflax.algorithms import contrastive_fine_tuning as contrastive_fine_tuning
from metaflax.algorithms import fine_tuning as fine_tuning
from metaflax.algorithms import fomaml as fomaml
from metaflax.algorithms import frozen as frozen
from metaflax.algorithms import imaml as imaml
from metaflax.algorithms import in_context as in_context
from metaflax.algorithms import leopard as leopard
from metaflax.algorithms import maml as maml
from metaflax.algorithms import maml_plus_plus as maml_plus_plus
from metaflax.algorithms import matching as matching
from metaflax.algorithms import meta_curvature as meta_curvature
from metaflax.algorithms import meta_sgd as meta_sgd
from metaflax.algorithms import metaicl as metaicl
from metaflax.algorithms import micro_batched as micro_batched
from metaflax.algorithms import multi_task as multi_task
from metaflax.algorithms import proto_maml as proto_maml
from metaflax.algorithms import protonet as protonet
from metaflax.algorithms import relation as relation
from metaflax.algorithms import reptile as reptile
from metaflax.algorithms import ridge as ridge
from metaflax.algorithms import warpgrad as warpgrad
from metaflax.base import Batch as Batch
from metaflax.base import MetaAlgorithm as MetaAlgorithm
from metaflax.base import Task as Task

if TYPE_CHECKING:
    from metaflax import config as config
    from metaflax import data as data
    from metaflax import evaluation as evaluation
    from metaflax import few_shot as few_shot
    from metaflax import models as models
    from metaflax import profiling as profiling
    from metaflax import reporting as reporting
    from metaflax import tasks as tasks
    from metaflax import training as training
    from metaflax import workflows as workflows
    from metaflax.few_shot import FewShotClassifier as FewShotClassifier
    from metaflax.few_shot import FewShotRegressor as FewShotRegressor
    from metaflax.few_shot import FewShotTagger as FewShotTagger
    from metaflax.workflows import load as load

from metaflax._version import __version__ as __version__

_LAZY = (
    *("config", "data", "evaluation", "few_shot", "models", "profiling", "reporting"),
    *("tasks", "training", "workflows"),
)
# Names of other modules, by name.
_LAZY_NAMES = {
    "FewShotClassifier": "few_shot",
    "FewShotRegressor": "few_shot",
    "FewShotTagger": "few_shot",
    "load": "workflows",
}

__all__ = [
    "Batch",
    "FewShotClassifier",
    "FewShotRegressor",
    "FewShotTagger",
    "MetaAlgorithm",
    "Task",
    "algorithms",
    "anil",
    "base",
    "boil",
    "cavia",
    "compact_rows",
    "config",
    "contrastive_fine_tuning",
    "data",
    "estimators",
    "evaluation",
    "few_shot",
    "fine_tuning",
    "fomaml",
    "frozen",
    "heads",
    "imaml",
    "in_context",
    "inner",
    "inner_optimizers",
    "leopard",
    "linalg",
    "load",
    "losses",
    "maml",
    "maml_plus_plus",
    "matching",
    "meta_curvature",
    "meta_sgd",
    "metaicl",
    "metrics",
    "micro_batched",
    "models",
    "multi_task",
    "profiling",
    "proto_maml",
    "protonet",
    "relation",
    "reporting",
    "reptile",
    "ridge",
    "tasks",
    "testing",
    "training",
    "tree",
    "value_and_grad",
    "warpgrad",
    "workflows",
]


def __getattr__(name: str):
    """Loads the heavier packages when they are first asked for."""
    if name in _LAZY_NAMES:
        module = importlib.import_module(f"metaflax.{_LAZY_NAMES[name]}")
        return getattr(module, name)
    if name in _LAZY:
        return importlib.import_module(f"metaflax.{name}")
    raise AttributeError(f"module 'metaflax' has no attribute {name!r}")
