"""Building of an ONNX graph: nodes, constants, and sizes known when it runs."""

import ast
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from metaflax.interop._onnx_extra import onnx_package

# A size: a number, or an expression of symbolic sizes, of `jax.export`.
Size: TypeAlias = Any
# Operators of expressions of sizes, as jax writes them.
_OPERATORS = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Pow: "Pow"}


class Graph:
    """An ONNX graph under construction; values are known by their names."""

    def __init__(self):
        self._onnx = onnx_package()
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._sizes: dict[str, str] = {}  # Names of values, by the symbol or formula.
        self._shared: dict[Any, str] = {}
        self._count = 0

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output, and returns that."""
        return self.nodes_of(kind, inputs, 1, **attributes)[0]

    def nodes_of(
        self, kind: str, inputs: Sequence[str], num_outputs: int, **attributes: Any
    ) -> list[str]:
        """Adds a node, and returns its outputs."""
        outputs = [self._new(kind.lower()) for _ in range(num_outputs)]
        self.nodes.append(
            self._onnx.helper.make_node(kind, list(inputs), outputs, **attributes)
        )
        return outputs

    def constant(self, value: Any, dtype: Any = None, name: str | None = None) -> str:
        """Adds a constant, small ones once only."""
        array = np.asarray(value, dtype)
        key = None
        if name is None and array.size <= 16:
            key = (array.dtype.str, array.shape, array.tobytes())
            if key in self._shared:
                return self._shared[key]
        name = name or self._new("constant")
        self.constants[name] = array
        if key is not None:
            self._shared[key] = name
        return name

    def identify(self, value: str, name: str) -> None:
        """Gives a value a name, such as that of an output."""
        self.nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))

    def symbol(self, symbol: str, value: str, axis: int) -> None:
        """Defines a symbolic size as that of an axis of a value."""
        self._sizes[symbol] = self.node("Shape", value, start=axis, end=axis + 1)

    def size(self, size: Size) -> str:
        """Returns a size as a value, int64 `[1]`."""
        if isinstance(size, int | np.integer):
            return self.constant([int(size)], np.int64)
        formula = str(size)
        if formula not in self._sizes:
            tree = ast.parse(formula.replace("^", "**"), mode="eval").body
            self._sizes[formula] = self._evaluated(tree)
        return self._sizes[formula]

    def sizes(self, sizes: Sequence[Size]) -> str:
        """Returns sizes as a value, int64 `[number of sizes]`."""
        if all(isinstance(size, int | np.integer) for size in sizes):
            return self.constant(list(map(int, sizes)), np.int64)
        return self.node("Concat", *map(self.size, sizes), axis=0)

    def reshaped(self, value: str, shape: Sequence[Size]) -> str:
        """Reshapes a value; of one symbolic size ONNX infers the number."""
        symbolic = [i for i, size in enumerate(shape) if not isinstance(size, int)]
        if len(symbolic) == 1 and 0 not in shape:
            shape = [-1 if i in symbolic else size for i, size in enumerate(shape)]
        return self.node("Reshape", value, self.sizes(shape))

    def transposed(self, value: str, order: Sequence[int]) -> str:
        """Permutes the axes of a value."""
        if list(order) == list(range(len(order))):
            return value
        return self.node("Transpose", value, perm=list(map(int, order)))

    def cast(self, value: str, dtype: Any) -> str:
        """Converts a value to a dtype."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", value, to=kind)

    def _new(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def _evaluated(self, tree: ast.AST) -> str:
        """Adds the nodes of a formula such as `2*l - 1` or `floordiv(b, 2)`."""
        match tree:
            case ast.Constant(value=int(number)):
                return self.constant([number], np.int64)
            case ast.Name(id=symbol):
                return self._sizes[symbol]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", self._evaluated(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                pair = self._evaluated(left), self._evaluated(right)
                return self.node(_OPERATORS[type(op)], *pair)
            case ast.Call(func=ast.Name(id=function), args=[first, second]):
                pair = self._evaluated(first), self._evaluated(second)
                # Sizes are not negative, so that division truncates as it should.
                kinds = {"floordiv": "Div", "max": "Max", "min": "Min", "mod": "Mod"}
                if function in kinds:
                    return self.node(kinds[function], *pair)
        raise ValueError(f"ONNX export knows no size {ast.unparse(tree)}.")
