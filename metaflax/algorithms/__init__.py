"""Meta-learning algorithms, each a composition of four parts by `compose`."""

from metaflax.algorithms._anil import anil as anil
from metaflax.algorithms._anil import boil as boil
from metaflax.algorithms._baselines import fine_tuning as fine_tuning
from metaflax.algorithms._baselines import frozen as frozen
from metaflax.algorithms._cavia import cavia as cavia
from metaflax.algorithms._closed_form import matching as matching
from metaflax.algorithms._closed_form import protonet as protonet
from metaflax.algorithms._closed_form import relation as relation
from metaflax.algorithms._closed_form import ridge as ridge
from metaflax.algorithms._compact_rows import compact_rows as compact_rows
from metaflax.algorithms._compose import compose as compose
from metaflax.algorithms._contrastive import (
    contrastive_fine_tuning as contrastive_fine_tuning,
)
from metaflax.algorithms._imaml import imaml as imaml
from metaflax.algorithms._joint import joint as joint
from metaflax.algorithms._leopard import leopard as leopard
from metaflax.algorithms._maml import fomaml as fomaml
from metaflax.algorithms._maml import maml as maml
from metaflax.algorithms._maml import reptile as reptile
from metaflax.algorithms._maml_plus_plus import maml_plus_plus as maml_plus_plus
from metaflax.algorithms._meta_curvature import meta_curvature as meta_curvature
from metaflax.algorithms._meta_sgd import meta_sgd as meta_sgd
from metaflax.algorithms._metaicl import in_context as in_context
from metaflax.algorithms._metaicl import metaicl as metaicl
from metaflax.algorithms._micro_batches import micro_batched as micro_batched
from metaflax.algorithms._minibatches import minibatches as minibatches
from metaflax.algorithms._multi_task import multi_task as multi_task
from metaflax.algorithms._proto_maml import proto_maml as proto_maml
from metaflax.algorithms._spec import AlgorithmParts as AlgorithmParts
from metaflax.algorithms._spec import AlgorithmSpec as AlgorithmSpec
from metaflax.algorithms._warpgrad import warpgrad as warpgrad

__all__ = [
    "AlgorithmParts",
    "AlgorithmSpec",
    "anil",
    "boil",
    "cavia",
    "compact_rows",
    "compose",
    "contrastive_fine_tuning",
    "fine_tuning",
    "fomaml",
    "frozen",
    "imaml",
    "in_context",
    "joint",
    "leopard",
    "maml",
    "maml_plus_plus",
    "matching",
    "meta_curvature",
    "meta_sgd",
    "metaicl",
    "micro_batched",
    "minibatches",
    "multi_task",
    "proto_maml",
    "protonet",
    "relation",
    "reptile",
    "ridge",
    "warpgrad",
]
