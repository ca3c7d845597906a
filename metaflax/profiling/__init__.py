"""Cost and profile of a compiled step."""

from metaflax.profiling._cost import cost as cost
from metaflax.profiling._memory import hand_back as hand_back
from metaflax.profiling._products import matmul_flops as matmul_flops
from metaflax.profiling._profile import profile as profile

__all__ = [
    "cost",
    "hand_back",
    "matmul_flops",
    "profile",
]
