"""Conversion of a traced function to ONNX.

jax2onnx does this for any model, but it bounds no symbolic length, which a table of
positions needs, and its releases for current jax exclude current Orbax; the encoders
here take some forty operations.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from metaflax import tree
from metaflax.interop._onnx_extra import onnx_package
from metaflax.interop._onnx_graph import Graph
from metaflax.interop._onnx_rules import add_equation

OPSET, IR_VERSION = 18, 8
# Protocol buffers hold 2 GiB; larger weights go into a file beside.
MOST_BYTES = 1_900_000_000


def to_onnx(
    function: Callable[..., Mapping[str, Any]],
    params: Any,
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    *,
    metadata: Mapping[str, str],
) -> Any:
    """Converts a function to an ONNX model.

    Args:
      function: called as `outputs = function(params, **inputs)`, arrays by their name.
      params: arrays, which become constants with the names of their paths.
      inputs: shapes and dtypes by name. Sizes may be symbols of `jax.export`, each of
        which is the size of an axis of an input. Integers are int64 in the model.
      metadata: texts by key, kept in the model.

    Returns:
      An `onnx.ModelProto`, which `save_onnx` writes.

    Raises:
      ValueError: if onnx is not installed, or an operation has no rule.
    """
    onnx, graph = onnx_package(), Graph()
    names = list(inputs)

    def traced(params: Any, *values: Any) -> Mapping[str, Any]:
        return function(params, **dict(zip(names, values, strict=True)))

    closed, shapes = jax.make_jaxpr(traced, return_shape=True)(params, *inputs.values())
    environment: dict[Any, str] = {}
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for variable, (path, leaf) in zip(closed.jaxpr.invars, leaves, strict=False):
        name = tree.path_name(path)
        environment[variable] = graph.constant(np.asarray(leaf), name=name)
    declared = []
    given = closed.jaxpr.invars[len(leaves) :]
    for variable, (name, value) in zip(given, inputs.items(), strict=True):
        declared.append(_declared(onnx, name, np.int64, value.shape))
        environment[variable] = graph.cast(name, value.dtype)
        for axis, size in enumerate(value.shape):
            if not isinstance(size, int):
                graph.symbol(str(size), name, axis)
    outputs = _add(graph, closed, environment)
    written = []
    for name, value in zip(sorted(shapes), outputs, strict=True):
        graph.identify(value, name)
        written.append(_declared(onnx, name, shapes[name].dtype, shapes[name].shape))
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in graph.constants.items()
    ]
    body = onnx.helper.make_graph(graph.nodes, "metaflax", declared, written, constants)
    model = onnx.helper.make_model(
        body,
        producer_name="metaflax",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.helper.set_model_props(model, dict(metadata))
    return model


def save_onnx(model: Any, path: Path) -> None:
    """Writes a model, and weights beyond 2 GiB to a file beside it."""
    onnx = onnx_package()
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=model.ByteSize() > MOST_BYTES,
        location=f"{path.name}.data",
    )
    onnx.checker.check_model(str(path))


def _declared(onnx: Any, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
    """Describes an input or output; symbolic sizes have names."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    sizes = [size if isinstance(size, int) else str(size) for size in shape]
    return onnx.helper.make_tensor_value_info(name, kind, sizes)


def _add(graph: Graph, closed: Any, environment: dict[Any, str]) -> list[str]:
    """Adds the equations of a traced function, and returns its outputs."""
    for variable, value in zip(closed.jaxpr.constvars, closed.consts, strict=True):
        environment[variable] = graph.constant(np.asarray(value))

    def value_of(variable: Any) -> str:
        if hasattr(variable, "val"):  # A literal.
            return graph.constant(variable.val, variable.aval.dtype)
        return environment[variable]

    for equation in closed.jaxpr.eqns:
        values = [value_of(variable) for variable in equation.invars]
        inner = _function_of(equation)
        if inner is None:
            outputs = add_equation(graph, values, equation)
        else:
            inside = dict(zip(inner.jaxpr.invars, values, strict=True))
            outputs = _add(graph, inner, inside)
        environment.update(zip(equation.outvars, outputs, strict=True))
    return [value_of(variable) for variable in closed.jaxpr.outvars]


def _function_of(equation: Any) -> Any:
    """Returns the traced function that an equation calls; None for an operation."""
    if equation.primitive.name in ("scan", "while", "cond"):
        return None  # For which there is no rule.
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        if inner is not None:
            closed = hasattr(inner, "consts")
            return inner if closed else ClosedJaxpr(inner, ())
    return None
