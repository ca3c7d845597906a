"""How the meta-gradient is taken: an `Estimator` each."""

from metaflax.estimators._constant import constant as constant
from metaflax.estimators._displacement import displacement as displacement
from metaflax.estimators._first_order import first_order as first_order
from metaflax.estimators._reverse import reverse as reverse

__all__ = ["constant", "displacement", "first_order", "reverse"]
