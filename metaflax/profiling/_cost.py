"""Cost of a compiled function: arithmetic, memory traffic, memory."""

import logging
from typing import Any, NamedTuple

import jax

from metaflax.profiling._hlo import parse
from metaflax.profiling._work import Analyst, Work

_logger = logging.getLogger(__name__)


class Cost(NamedTuple):
    """Cost of one call of a compiled function on one device.

    Attributes:
      flops: floating-point operations of its matrix products; None if unknown.
      bytes_moved: estimated bytes read from and written to memory; None if unknown.
      arguments: bytes of its arguments.
      outputs: bytes of its results.
      aliased: bytes of results that reuse the memory of donated arguments.
      temporaries: bytes of intermediate buffers.
    """

    flops: float | None
    bytes_moved: float | None
    arguments: int
    outputs: int
    aliased: int
    temporaries: int

    @property
    def new(self) -> int:
        """Bytes needed in addition to the arguments."""
        return self.outputs - self.aliased + self.temporaries

    @property
    def peak(self) -> int:
        """Bytes needed in total."""
        return self.arguments + self.new

    def record(self) -> dict[str, Any]:
        """Returns the cost as a JSON object."""
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
    """Computes the cost of one call of a compiled function.

    Memory is taken from XLA's `memory_analysis`. Work is counted in the printed HLO,
    each loop as often as it runs: XLA's `cost_analysis` counts loop bodies once. The
    printed form is no stable interface, so that work which cannot be counted is None.

    Args:
      compiled: result of `jax.jit(fn).lower(...).compile()`.

    Returns:
      A `Cost`.

    Examples:
      >>> import jax
      >>> from metaflax.profiling import cost
      >>> import jax.numpy as jnp
      >>> square = jax.jit(lambda x: x @ x).lower(jnp.ones((8, 8))).compile()
      >>> cost(square).flops, cost(square).arguments
      (1024.0, 256)
    """
    work = _work(compiled)
    memory: Any = compiled.memory_analysis()
    return Cost(
        flops=None if work is None else work.flops,
        bytes_moved=None if work is None else work.bytes_moved,
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
    )


def _work(compiled: jax.stages.Compiled) -> Work | None:
    """Counts the work in the printed HLO; None if the text cannot be analysed."""
    try:
        return Analyst(parse(compiled.as_text() or "")).total()
    except Exception:  # The text may take any form in another version of XLA.
        _logger.debug("the printed HLO could not be analysed", exc_info=True)
        return None
