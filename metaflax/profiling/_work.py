"""Arithmetic, memory traffic and kind of the operations of a program."""

import functools
import math
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from metaflax.profiling._hlo import Array, Operation, Program

Kind: TypeAlias = Literal[
    "matrix product",
    "elementwise and sums",
    "gather and scatter",
    "copy",
    "communication",
    "other",
]

_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_LIBRARY_CONTRACTED = re.compile(r'"lhs_contracting_dimensions":\[([\d",]*)\]')
_KERNEL_LABELS = re.compile(r"dim_labels=\w+_(\w+)->")

_PRODUCTS = {"dot", "convolution"}
_SLICES = {"dynamic-slice", "slice", "gather"}
_UPDATES = {"dynamic-update-slice": 1, "scatter": 2}  # Which operand is written.
_INDEXED = {*_UPDATES, "dynamic-slice", "gather"}
_COMMUNICATION = ("all-", "collective-", "reduce-scatter", "send", "recv")
_COPIES = {
    *("copy", "copy-start", "copy-done", "transpose", "reshape", "broadcast"),
    *("concatenate", "pad", "slice", "reverse"),
}
# Operations that only name existing buffers.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
    *("after-all", "partition-id", "replica-id"),
}
_RUNS_OTHERS = {"while", "call", "conditional", "async-start"}


class Work(NamedTuple):
    """Amount of work.

    Attributes:
      flops: floating-point operations of matrix products, two for each
        multiplication and addition.
      bytes_moved: bytes read from and written to memory.
    """

    flops: float
    bytes_moved: float


class Analyst:
    """Analyses the operations of a program.

    Args:
      program: the compiled program.
    """

    def __init__(self, program: Program):
        self._program = program
        self._operations = program.operations()
        self._run = functools.cache(self._run_all)

    def total(self) -> Work:
        """Counts the work of one call of the program, multiplying out loops.

        XLA's own `cost_analysis` counts the body of a loop once, and training steps are
        loops over tasks and inner steps. A loop of unknown trip count is counted once
        here too; of the branches of a conditional only the one with the most arithmetic
        is counted.
        """
        return self._run(self._program.entry)

    def _run_all(self, computation: str) -> Work:
        return _sum(self._run_one(op) for op in self._program.computations[computation])

    def _run_one(self, op: Operation) -> Work:
        if op.opcode not in _RUNS_OTHERS:
            return Work(self.flops(op), self._bytes_moved(op))
        called = [self._run(name) for name in op.calls]
        if op.opcode == "conditional":
            return max(called)
        trip = _sum(called)
        return Work(op.trips * trip.flops, op.trips * trip.bytes_moved)

    def flops(self, op: Operation) -> float:
        """Counts the floating-point operations of the matrix products in `op`."""
        if op.opcode == "dot":
            contracted = _numbers(_CONTRACTED, op.attributes)
            return self._product(op, contracted)
        if op.opcode == "custom-call" and "gemm" in op.attributes:
            # A matrix product by a library, with workspace as second result.
            return self._product(op, _numbers(_LIBRARY_CONTRACTED, op.attributes))
        if op.opcode == "convolution":  # TPUs compute matrix products so.
            labels = _KERNEL_LABELS.search(op.attributes)
            kernel = self._array(op.operands[1]).dims
            taken = [
                d
                for d, label in zip(kernel, labels[1] if labels else "", strict=False)
                if label != "o"
            ]
            return 2.0 * math.prod(op.results[0].dims) * math.prod(taken)
        if op.opcode == "fusion":
            return sum(self.flops(part) for part in self._parts(op))
        return 0.0

    def kind(self, op: Operation) -> Kind:
        """Classifies an operation; a fusion by its costliest part."""
        opcodes = {part.opcode for part in self._parts(op)} | {op.opcode}
        if self.flops(op) or opcodes & _PRODUCTS:
            return "matrix product"
        if op.opcode.startswith(_COMMUNICATION):
            return "communication"
        if opcodes & _INDEXED:
            return "gather and scatter"
        if opcodes - {"fusion"} <= _COPIES | _FREE:
            return "copy"
        if op.opcode in _RUNS_OTHERS | {"sort", "custom-call", "rng-bit-generator"}:
            return "other"
        return "elementwise and sums"

    def paths(self, op: Operation) -> list[str]:
        """Returns the path of an operation, then those of operations fused into it."""
        return [op.path, *(part.path for part in self._parts(op))]

    def _parts(self, op: Operation) -> list[Operation]:
        if op.opcode != "fusion":
            return []
        return [part for name in op.calls for part in self._program.computations[name]]

    def _array(self, name: str) -> Array:
        return self._operations[name].results[0]

    def _product(self, op: Operation, contracted: Iterable[int]) -> float:
        left = self._array(op.operands[0]).dims
        return (
            2.0 * math.prod(op.results[0].dims) * math.prod(left[d] for d in contracted)
        )

    def _bytes_moved(self, op: Operation) -> float:
        """Counts bytes of results and operands; of sliced operands, of the slice."""
        if op.opcode in _FREE:
            return 0.0
        if op.opcode in _SLICES:
            return 2 * _size(op.results)
        if op.opcode in _UPDATES:
            return 2 * self._update_size(op)
        if op.opcode == "fusion":
            return self._fused_bytes(op)
        return _size(op.results) + self._operand_size(op)

    def _operand_size(self, op: Operation) -> float:
        names = set(op.operands)
        return sum(_size(self._operations[name].results) for name in names)

    def _update_size(self, op: Operation) -> float:
        return _size(self._operations[op.operands[_UPDATES[op.opcode]]].results)

    def _fused_bytes(self, op: Operation) -> float:
        parts = self._parts(op)
        moved = 0.0
        for part in parts:
            if part.opcode == "parameter":
                readers = [p for p in parts if part.name in p.operands]
                moved += self._read_size(part, readers)
            if part.is_root:
                in_place = part.opcode in _UPDATES
                moved += self._update_size(part) if in_place else _size(part.results)
        return moved

    def _read_size(self, parameter: Operation, readers: list[Operation]) -> float:
        """Counts the bytes read of a parameter; of the slices, if only they are."""
        touched = 0.0
        for reader in readers:
            is_target = reader.operands[0] == parameter.name
            if is_target and reader.opcode in _SLICES:
                touched += _size(reader.results)
            elif not (is_target and reader.opcode in _UPDATES):
                return _size(parameter.results)
        return touched


def _sum(works: Iterable[Work]) -> Work:
    flops, moved = 0.0, 0.0
    for work in works:
        flops, moved = flops + work.flops, moved + work.bytes_moved
    return Work(flops, moved)


def _numbers(pattern: re.Pattern[str], text: str) -> list[int]:
    match = pattern.search(text)
    return [int(n) for n in re.findall(r"\d+", match[1])] if match else []


def _size(arrays: Iterable[Array]) -> float:
    """Counts the bytes of arrays."""
    return sum(math.prod(a.dims) * _item_size(a.dtype) for a in arrays)


def _item_size(dtype: str) -> float:
    """Returns the bytes of one number, by the bits in the name of its type.

    Examples:
      >>> _item_size("bf16"), _item_size("u4"), _item_size("pred"), _item_size("token")
      (2.0, 0.5, 1.0, 0.0)
    """
    if dtype == "pred":
        return 1.0
    bits = re.search(r"\d+", dtype)
    return int(bits[0]) / 8 if bits else 0.0
