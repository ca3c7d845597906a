"""Registry of named algorithms."""

from metaflax.algorithms._anil import ANIL, BOIL
from metaflax.algorithms._baselines import FINE_TUNING, FROZEN
from metaflax.algorithms._cavia import CAVIA
from metaflax.algorithms._closed_form import MATCHING, PROTONET, RELATION, RIDGE
from metaflax.algorithms._contrastive import CONTRASTIVE_FINE_TUNING
from metaflax.algorithms._imaml import IMAML
from metaflax.algorithms._joint import JOINT
from metaflax.algorithms._leopard import LEOPARD
from metaflax.algorithms._maml import FOMAML, MAML, REPTILE
from metaflax.algorithms._maml_plus_plus import MAML_PLUS_PLUS
from metaflax.algorithms._meta_curvature import META_CURVATURE
from metaflax.algorithms._meta_sgd import META_SGD
from metaflax.algorithms._metaicl import IN_CONTEXT, METAICL
from metaflax.algorithms._proto_maml import PROTO_MAML
from metaflax.algorithms._spec import AlgorithmSpec
from metaflax.algorithms._warpgrad import WARPGRAD

ALGORITHMS: dict[str, AlgorithmSpec] = {
    "maml": MAML,
    "fomaml": FOMAML,
    "reptile": REPTILE,
    "anil": ANIL,
    "boil": BOIL,
    "meta_sgd": META_SGD,
    "maml_plus_plus": MAML_PLUS_PLUS,
    "meta_curvature": META_CURVATURE,
    "warpgrad": WARPGRAD,
    "cavia": CAVIA,
    "imaml": IMAML,
    "proto_maml": PROTO_MAML,
    "leopard": LEOPARD,
    "protonet": PROTONET,
    "matching": MATCHING,
    "relation": RELATION,
    "ridge": RIDGE,
    "metaicl": METAICL,
    "in_context": IN_CONTEXT,
    "frozen": FROZEN,
    "joint": JOINT,
    "fine_tuning": FINE_TUNING,
    "contrastive_fine_tuning": CONTRASTIVE_FINE_TUNING,
}
