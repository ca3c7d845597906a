"""Conversion rules from JAX operations to ONNX nodes.

A rule is called as `outputs = rule(graph, inputs, equation)`, with the names of values,
and returns that of the output, or a list of several. Shapes are those of the equation,
whose sizes may be symbolic.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metaflax.interop._onnx_graph import Graph

# Operations that are one node of the same inputs.
_SAME = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "ceil": "Ceil",
    "copy": "Identity",
    "copy_p": "Identity",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "name": "Identity",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "sub": "Sub",
    "tanh": "Tanh",
}
_REDUCTIONS = {
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
}


def _shape(variable: Any) -> tuple[Any, ...]:
    return variable.aval.shape


def _broadcast(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    shape = equation.params["shape"]
    places, [value, *_] = equation.params["broadcast_dimensions"], inputs
    source = _shape(equation.invars[0])
    spread: list[Any] = [1] * len(shape)
    for axis, size in zip(places, source, strict=True):
        spread[axis] = size
    if tuple(spread) != tuple(source):
        value = graph.reshaped(value, spread)
    if tuple(spread) == tuple(shape):
        return value
    return graph.node("Expand", value, graph.sizes(shape))


def _reshape(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    return graph.reshaped(inputs[0], equation.params["new_sizes"])


def _reduction(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    axes = graph.constant(list(equation.params["axes"]), np.int64)
    kind = _REDUCTIONS[equation.primitive.name]
    return graph.node(kind, inputs[0], axes, keepdims=0)


def _dot(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    contracted, batched = equation.params["dimension_numbers"]
    sides = []
    for value, variable, sums, texts in zip(
        inputs, equation.invars, contracted, batched, strict=True
    ):
        shape = _shape(variable)
        free = [i for i in range(len(shape)) if i not in (*sums, *texts)]
        sides.append((value, shape, list(sums), list(texts), free))
    (left, shape, sums, texts, free), (right, other, sums2, texts2, free2) = sides
    plain = not texts and len(sums) == len(sums2) == 1 and len(other) == 2
    if plain and sums == [len(shape) - 1]:
        return graph.node("MatMul", left, graph.transposed(right, sums2 + free2))
    left = graph.transposed(left, texts + free + sums)
    right = graph.transposed(right, texts2 + sums2 + free2)
    sizes = [shape[i] for i in texts]
    rows, inner, columns = (
        math.prod(sizes) for sizes in (
            [shape[i] for i in free], [shape[i] for i in sums],
            [other[i] for i in free2],
        )
    )  # fmt: skip
    if (len(free), len(sums)) != (1, 1):
        left = graph.reshaped(left, [*sizes, rows, inner])
    if (len(free2), len(sums2)) != (1, 1):
        right = graph.reshaped(right, [*sizes, inner, columns])
    product = graph.node("MatMul", left, right)
    if (len(free), len(free2)) == (1, 1):
        return product
    return graph.reshaped(product, _shape(equation.outvars[0]))


def _select(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    which, first, *others = inputs
    if len(others) != 1 or equation.invars[0].aval.dtype != bool:
        raise ValueError("ONNX export selects between two values, by truth values.")
    return graph.node("Where", which, others[0], first)


def _convert(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    return graph.cast(inputs[0], equation.params["new_dtype"])


def _transpose(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    return graph.transposed(inputs[0], equation.params["permutation"])


def _concatenate(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    return graph.node("Concat", *inputs, axis=equation.params["dimension"])


def _split(graph: Graph, inputs: Sequence[str], equation: Any) -> list[str]:
    sizes, axis = equation.params["sizes"], equation.params["axis"]
    given = [inputs[0], graph.sizes(sizes)]
    return graph.nodes_of("Split", given, len(sizes), axis=axis)


def _slice(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    params, rank = equation.params, len(_shape(equation.invars[0]))
    strides = params["strides"] or (1,) * rank
    bounds = (params["start_indices"], params["limit_indices"], range(rank), strides)
    return graph.node("Slice", inputs[0], *map(graph.sizes, map(list, bounds)))


def _reverse(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    axes = list(equation.params["dimensions"])
    ends = [np.iinfo(np.int64).min] * len(axes)
    bounds = ([-1] * len(axes), ends, axes, [-1] * len(axes))
    return graph.node(
        "Slice", inputs[0], *(graph.constant(bound, np.int64) for bound in bounds)
    )


def _pad(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    low, high, inner = zip(*equation.params["padding_config"], strict=True)
    if any(inner):
        raise ValueError("ONNX export pads at the ends only.")
    return graph.node("Pad", inputs[0], graph.sizes([*low, *high]), inputs[1])


def _iota(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del inputs
    shape, axis = equation.params["shape"], equation.params["dimension"]
    first, step = graph.constant(0, np.int64), graph.constant(1, np.int64)
    numbers = graph.node("Range", first, _scalar(graph, shape[axis]), step)
    numbers = graph.cast(numbers, equation.params["dtype"])
    along = [1] * len(shape)
    if len(shape) == 1:
        return numbers
    numbers = graph.reshaped(numbers, [*along[:axis], shape[axis], *along[axis + 1 :]])
    return graph.node("Expand", numbers, graph.sizes(shape))


def _size_value(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del inputs
    value = _scalar(graph, equation.params["dim"])
    return graph.cast(value, equation.outvars[0].aval.dtype)


def _scalar(graph: Graph, size: Any) -> str:
    return graph.node("Squeeze", graph.size(size), graph.constant([0], np.int64))


def _cumsum(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    axis = graph.constant(equation.params["axis"], np.int64)
    backwards = int(equation.params["reverse"])
    return graph.node("CumSum", inputs[0], axis, reverse=backwards)


def _gather(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    """Gathers rows of a table by number, or takes a slice from a computed place on."""
    numbers, params = equation.params["dimension_numbers"], equation.params
    operand, indices = equation.invars
    shape, axes = _shape(operand), list(numbers.start_index_map)
    batch, offsets = len(_shape(indices)) - 1, tuple(numbers.offset_dims)
    if not batch and not numbers.operand_batching_dims:
        starts = graph.cast(inputs[1], np.int64)
        sizes = graph.sizes([params["slice_sizes"][axis] for axis in axes])
        ends = graph.node("Add", starts, sizes)
        part = graph.node(
            "Slice", inputs[0], starts, ends, graph.constant(axes, np.int64)
        )
        if not numbers.collapsed_slice_dims:
            return part
        return graph.reshaped(part, _shape(equation.outvars[0]))
    sizes = [1 if i in axes else size for i, size in enumerate(shape)]
    behind = {axes[0] + i for i in range(batch)}
    if (
        tuple(numbers.collapsed_slice_dims) != tuple(axes)
        or len(axes) != 1
        or numbers.operand_batching_dims
        or list(params["slice_sizes"]) != sizes
        or behind & set(offsets)
    ):
        raise ValueError("ONNX export gathers whole rows along one axis only.")
    rows = graph.reshaped(inputs[1], _shape(indices)[:-1])
    if "CLIP" in str(params["mode"]).upper():
        kind = indices.aval.dtype
        rows = graph.node("Max", rows, graph.constant(0, kind))
        rows = graph.node("Min", rows, graph.constant(shape[axes[0]] - 1, kind))
    return graph.node("Gather", inputs[0], rows, axis=axes[0])


def _rsqrt(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del equation
    return graph.node("Reciprocal", graph.node("Sqrt", inputs[0]))


def _square(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del equation
    return graph.node("Mul", inputs[0], inputs[0])


def _integer_pow(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    exponent = equation.params["y"]
    dtype = equation.invars[0].aval.dtype
    return graph.node("Pow", inputs[0], graph.constant(exponent, dtype))


def _erfc(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    one = graph.constant(1, equation.invars[0].aval.dtype)
    return graph.node("Sub", one, graph.node("Erf", inputs[0]))


def _different(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del equation
    return graph.node("Not", graph.node("Equal", *inputs))


def _clamp(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del equation
    low, value, high = inputs
    return graph.node("Min", graph.node("Max", value, low), high)


def _remainder(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    del equation
    return graph.node("Mod", *inputs, fmod=1)  # Of the sign of the first.


def _squeeze(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    return graph.reshaped(inputs[0], _shape(equation.outvars[0]))


def _convolution(graph: Graph, inputs: Sequence[str], equation: Any) -> str:
    params = equation.params
    numbers = params["dimension_numbers"]
    value = graph.transposed(inputs[0], numbers.lhs_spec)
    kernel = graph.transposed(inputs[1], numbers.rhs_spec)
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise ValueError("ONNX export knows no transposed convolution.")
    low, high = zip(*params["padding"], strict=True)
    result = graph.node(
        "Conv",
        value,
        kernel,
        pads=[*map(int, low), *map(int, high)],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return graph.transposed(result, np.argsort(numbers.out_spec).tolist())


RULES: dict[str, Callable[[Graph, Sequence[str], Any], str | list[str]]] = {
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "cumsum": _cumsum,
    "dim_as_value": _size_value,
    "dot_general": _dot,
    "erfc": _erfc,
    "expand_dims": _squeeze,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "ne": _different,
    "pad": _pad,
    "rem": _remainder,
    "reshape": _reshape,
    "rev": _reverse,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _squeeze,
    "transpose": _transpose,
    **dict.fromkeys(_REDUCTIONS, _reduction),
}


def add_equation(graph: Graph, inputs: Sequence[str], equation: Any) -> list[str]:
    """Adds the nodes of an operation, and returns its outputs.

    Raises:
      ValueError: if there is no rule for it.
    """
    name = equation.primitive.name
    if name in _SAME:
        return [graph.node(_SAME[name], *inputs)]
    if name not in RULES:
        raise ValueError(
            f"ONNX export has no rule for jax's operation {name}; export to stablehlo."
        )
    outputs = RULES[name](graph, inputs, equation)
    return [outputs] if isinstance(outputs, str) else outputs
