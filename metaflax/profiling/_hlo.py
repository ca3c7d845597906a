"""Parser of the HLO text that XLA prints of a compiled program."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_OPERATION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_PARENTHESIS = re.compile(r"[()]")
_NAME = re.compile(r"%([\w.\-]+)")
_PATH = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"(?:calls|to_apply|body|\w+_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\]")


class Array(NamedTuple):
    """Type of an array.

    Attributes:
      dtype: element type in XLA's notation, such as `f32` or `pred`.
      dims: shape.
    """

    dtype: str
    dims: tuple[int, ...]


class Operation(NamedTuple):
    """Operation of a program.

    Attributes:
      name: name, unique in the program; profiles identify operations by it.
      opcode: kind of operation, such as `dot` or `fusion`.
      results: types of its results, one array or those of a tuple.
      operands: names of the operations whose results are its inputs.
      calls: names of the computations that it calls or consists of.
      trips: trip count of a loop; 1 for other operations, and where it is unknown.
      path: scopes of the traced function that it comes from, such as
        `jit(step)/jvp(Bert)/layer_0/mlp/up/dot_general`; may be empty.
      attributes: rest of the operation's line.
      is_root: whether it is the result of its computation.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    calls: tuple[str, ...]
    trips: int
    path: str
    attributes: str
    is_root: bool


class Program(NamedTuple):
    """Compiled program.

    Attributes:
      name: name of the module, such as `jit_step`.
      entry: name of the computation that runs first.
      computations: operations by computation, in order.
    """

    name: str
    entry: str
    computations: Mapping[str, tuple[Operation, ...]]

    def operations(self) -> dict[str, Operation]:
        """Maps names to operations, including those inside fusions."""
        return {op.name: op for ops in self.computations.values() for op in ops}


def parse(text: str) -> Program:
    """Parses the text of `jax.stages.Compiled.as_text()`.

    Args:
      text: an HLO module.

    Returns:
      A `Program`.

    Raises:
      ValueError: if the text is not an HLO module.
    """
    if not text.startswith("HloModule "):
        raise ValueError(
            "the text is not an HLO module: it does not begin with 'HloModule '."
        )
    name = text.removeprefix("HloModule ").split(",", 1)[0].split(None, 1)[0]
    entry, computations = "", {}
    for is_entry, computation, lines in _computations(text):
        entry = computation if is_entry else entry
        computations[computation] = tuple(op for op in map(_operation, lines) if op)
    return Program(name, entry, computations)


def _computations(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Yields for each computation whether it is the entry, its name, and its lines."""
    header, lines = None, []
    for line in text.splitlines():
        if header is None:
            header = _COMPUTATION.match(line)
        elif line.startswith("}"):
            yield header[1] is not None, header[2], lines
            header, lines = None, []
        else:
            lines.append(line)


def _operation(line: str) -> Operation | None:
    start = _OPERATION.match(line)
    if start is None:
        return None
    after_type = _end_of_type(line, start.end())
    opcode = _OPCODE.match(line, after_type)
    if opcode is None:
        return None
    closed = _closing(line, opcode.end() - 1)
    attributes = line[closed:]
    path, trips = _PATH.search(attributes), _TRIPS.search(attributes)
    branches = _BRANCHES.search(attributes)
    return Operation(
        name=start[2],
        opcode=opcode[1],
        results=arrays(line[start.end() : after_type]),
        operands=tuple(_NAME.findall(line[opcode.end() : closed])),
        calls=(
            *_CALLED.findall(attributes),
            *(_NAME.findall(branches[1]) if branches else ()),
        ),
        trips=int(trips[1]) if trips else 1,
        path=path[1] if path else "",
        attributes=attributes,
        is_root=start[1] is not None,
    )


def arrays(text: str) -> tuple[Array, ...]:
    """Parses the arrays of a type.

    Examples:
      >>> arrays("(f32[4,8]{1,0}, s32[])")
      (Array(dtype='f32', dims=(4, 8)), Array(dtype='s32', dims=()))
    """
    return tuple(
        # A dynamic dimension is printed with its bound: `<=8`.
        Array(dtype, tuple(int(d.lstrip("<=")) for d in dims.split(",") if d))
        for dtype, dims in _ARRAY.findall(text)
    )


def _end_of_type(line: str, start: int) -> int:
    if line[start] == "(":  # The type of a tuple contains spaces.
        return _closing(line, start)
    end = line.find(" ", start)
    return len(line) if end < 0 else end


def _closing(line: str, opening: int) -> int:
    """Returns the index after the parenthesis that closes the one at `opening`."""
    depth = 0
    for match in _PARENTHESIS.finditer(line, opening):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.end()
    return len(line)
