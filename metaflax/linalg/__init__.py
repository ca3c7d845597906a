"""Linear solvers: iterative ones that need only products, and direct ones.

Whatever the type of the arguments, sums and solves are in float32 or wider.
"""

from metaflax.linalg._ridge import ridge as ridge
from metaflax.linalg._symmetric import conjugate_gradient as conjugate_gradient
from metaflax.linalg._symmetric import neumann_series as neumann_series
from metaflax.linalg._unit import unit as unit

__all__ = ["conjugate_gradient", "neumann_series", "ridge", "unit"]
