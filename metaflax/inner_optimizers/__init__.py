"""Inner optimizers that are learned: functions that make a `base.InnerOptimizer`.

Each is initialised to an optimizer of optax, usually gradient descent. What it learns
is in float32 or wider, whatever the type of the adapted parameters: rates in bfloat16
could not follow small meta-gradients.
"""

from metaflax.inner_optimizers._kronecker import kronecker as kronecker
from metaflax.inner_optimizers._learned import learned as learned
from metaflax.inner_optimizers._learned_rates import learned_rates as learned_rates
from metaflax.inner_optimizers._meta_curvature import meta_curvature as meta_curvature

__all__ = [
    "kronecker",
    "learned",
    "learned_rates",
    "meta_curvature",
]
