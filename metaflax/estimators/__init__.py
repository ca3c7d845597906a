"""Estimators of the meta-gradient: `base.Estimator`s, and functions that make one."""

from metaflax.estimators._annealed import annealed as annealed
from metaflax.estimators._constant import constant as constant
from metaflax.estimators._displacement import displacement as displacement
from metaflax.estimators._evolution import evolution as evolution
from metaflax.estimators._first_order import first_order as first_order
from metaflax.estimators._implicit import implicit as implicit
from metaflax.estimators._mixed_mode import mixed_mode as mixed_mode
from metaflax.estimators._reverse import reverse as reverse
from metaflax.estimators._trajectory import trajectory as trajectory
from metaflax.estimators._truncated import truncated as truncated

__all__ = [
    "annealed",
    "constant",
    "displacement",
    "evolution",
    "first_order",
    "implicit",
    "mixed_mode",
    "reverse",
    "trajectory",
    "truncated",
]
