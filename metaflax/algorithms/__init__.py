"""Meta-learning algorithms: the composition, and its named points."""

from metaflax.algorithms._anil import anil as anil
from metaflax.algorithms._baselines import fine_tuning as fine_tuning
from metaflax.algorithms._baselines import frozen as frozen
from metaflax.algorithms._compose import compose as compose
from metaflax.algorithms._maml import fomaml as fomaml
from metaflax.algorithms._maml import maml as maml
from metaflax.algorithms._maml import reptile as reptile
from metaflax.algorithms._protonet import proto_maml as proto_maml
from metaflax.algorithms._protonet import protonet as protonet

__all__ = [
    "anil",
    "compose",
    "fine_tuning",
    "fomaml",
    "frozen",
    "maml",
    "proto_maml",
    "protonet",
    "reptile",
]
