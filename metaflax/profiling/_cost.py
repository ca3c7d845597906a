"""What a compiled step costs, known before it runs."""

from typing import Any, NamedTuple

import jax

from metaflax.profiling._hlo import parse
from metaflax.profiling._work import Analyst


class Cost(NamedTuple):
    """What one run of a compiled function costs, on one device.

    Attributes:
      flops: floating-point operations of its matrix products.
      bytes_moved: read from memory and written to it, about.
      arguments: bytes of what it is given.
      outputs: bytes of what it returns.
      aliased: bytes of outputs that take the place of donated arguments.
      temporaries: bytes that it needs in between.
    """

    flops: float
    bytes_moved: float
    arguments: int
    outputs: int
    aliased: int
    temporaries: int

    @property
    def new(self) -> int:
        """Bytes that it needs beside its arguments."""
        return self.outputs - self.aliased + self.temporaries

    @property
    def peak(self) -> int:
        """Bytes that it needs in all."""
        return self.arguments + self.new

    def record(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "flops": self.flops,
            "bytes_moved": self.bytes_moved,
            "memory_bytes": {
                "arguments": self.arguments,
                "outputs": self.outputs,
                "aliased": self.aliased,
                "temporaries": self.temporaries,
                "peak": self.peak,
            },
        }


def cost(compiled: jax.stages.Compiled) -> Cost:
    """What one run of a compiled function costs.

    Memory is XLA's own account of it. Work is counted from the program, with each
    loop as often as it runs: XLA's `cost_analysis` counts the bodies of loops once.

    Args:
      compiled: what `jax.jit(fn).lower(...).compile()` gives.

    Returns:
      A `Cost`.

    Examples:
      >>> import jax.numpy as jnp
      >>> square = jax.jit(lambda x: x @ x).lower(jnp.ones((8, 8))).compile()
      >>> cost(square).flops, cost(square).arguments
      (1024.0, 256)
    """
    work = Analyst(parse(compiled.as_text() or "")).total()
    memory: Any = compiled.memory_analysis()
    return Cost(
        flops=work.flops,
        bytes_moved=work.bytes_moved,
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
    )
