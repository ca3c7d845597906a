"""Functional meta-learning for language models in JAX and Flax.

The functional API (algorithms, heads, losses, estimators) loads at once and needs
only jax, optax and chex. What reads text, files or pretrained weights loads when
first used.
"""

import importlib
from typing import TYPE_CHECKING

from metaflax import algorithms as algorithms
from metaflax import base as base
from metaflax import estimators as estimators
from metaflax import heads as heads
from metaflax import inner as inner
from metaflax import losses as losses
from metaflax import metrics as metrics
from metaflax import tree as tree
from metaflax.algorithms import anil as anil
from metaflax.algorithms import fine_tuning as fine_tuning
from metaflax.algorithms import fomaml as fomaml
from metaflax.algorithms import frozen as frozen
from metaflax.algorithms import maml as maml
from metaflax.algorithms import proto_maml as proto_maml
from metaflax.algorithms import protonet as protonet
from metaflax.algorithms import reptile as reptile
from metaflax.base import Batch as Batch
from metaflax.base import MetaAlgorithm as MetaAlgorithm
from metaflax.base import Task as Task
from metaflax.meta_gradient import value_and_grad as value_and_grad

if TYPE_CHECKING:
    from metaflax import data, evaluation, models, reporting, tasks, training

from metaflax._version import __version__ as __version__

_LAZY = ("config", "data", "evaluation", "models", "reporting", "tasks", "training")

__all__ = [
    "Batch",
    "MetaAlgorithm",
    "Task",
    "algorithms",
    "anil",
    "base",
    "data",
    "estimators",
    "evaluation",
    "fine_tuning",
    "fomaml",
    "frozen",
    "heads",
    "inner",
    "losses",
    "maml",
    "metrics",
    "models",
    "proto_maml",
    "protonet",
    "reporting",
    "reptile",
    "tasks",
    "training",
    "tree",
    "value_and_grad",
]


def __getattr__(name: str):
    """Loads the heavier packages when they are first asked for."""
    if name in _LAZY:
        return importlib.import_module(f"metaflax.{name}")
    raise AttributeError(f"module 'metaflax' has no attribute {name!r}")
