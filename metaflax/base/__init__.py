"""Interfaces of tasks, models, heads, estimators and meta-learning algorithms.

Letters used for axes throughout: T tasks, S support examples, Q query examples,
U labelled units (texts, later also tokens or pairs), N classes, L tokens,
D features, K inner steps.
"""

from metaflax.base._algorithm import (
    AdaptFn,
    InnerInfo,
    InnerOptimizer,
    MetaAlgorithm,
    MetaInfo,
    MetaLossFn,
    PredictFn,
    diverged,
)
from metaflax.base._estimator import Estimator, InnerProblem, QueryLossFn
from metaflax.base._head import Head
from metaflax.base._model import (
    ApplyFn,
    InContext,
    InitFn,
    LossFn,
    StagedApply,
    split_key,
)
from metaflax.base._units import Array, Batch, ClassOutputs, Task, masked_outputs

__all__ = [
    "AdaptFn",
    "ApplyFn",
    "Array",
    "Batch",
    "ClassOutputs",
    "Estimator",
    "Head",
    "InContext",
    "InitFn",
    "InnerInfo",
    "InnerOptimizer",
    "InnerProblem",
    "LossFn",
    "MetaAlgorithm",
    "MetaInfo",
    "MetaLossFn",
    "PredictFn",
    "QueryLossFn",
    "StagedApply",
    "Task",
    "diverged",
    "masked_outputs",
    "split_key",
]
