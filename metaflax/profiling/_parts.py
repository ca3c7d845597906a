"""Parts of a training step, by the scopes that an operation was traced in.

A path such as `jit(step)/while/body/transpose(jvp(encoder))/layer_0/mlp/up/dot_general`
lists transformations around names, and scopes and modules of the network from the
outside in, the operation last.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

OTHER = "other"

# An operation belongs to the first part whose names occur in its path.
_PARTS = (
    ("outer optimizer", {"outer_optimizer"}),
    ("inner update", {"inner_update"}),
    ("dropout", {"dropout"}),
    ("norm", {"norm"}),
    ("embeddings", {"embeddings"}),
    ("attention", {"attention"}),
    ("mlp", {"mlp"}),
    ("network, rest", {"encoder", "decoder", "pooler", "adapter"}),
)
# Differentiated operations outside the network.
_HEAD = "head and loss"
_CONTROL = {"while", "body", "cond", "closed_call", "branch_0_fun", "branch_1_fun"}

_WRAPPED = re.compile(r"^(\w+)\((.*)\)$")


class Place(NamedTuple):
    """Part of a training step, and direction of differentiation.

    Attributes:
      part: part of the step, such as `attention`.
      backward: whether the operation belongs to a backward pass, those of inner steps
        included.
    """

    part: str
    backward: bool


def place_of(paths: Iterable[str]) -> Place:
    """Finds the part of a step that an operation belongs to.

    Args:
      paths: path of the operation, then those of operations fused into it. The first
        decides unless it names no part; then the most frequent part does.

    Returns:
      A `Place`.

    Examples:
      >>> place_of(["jit(step)/while/body/transpose(jvp(encoder))/layer_0/mlp/up/dot"])
      Place(part='mlp', backward=True)
    """
    first, *rest = [_place(path) for path in paths]
    fused = [place for place in rest if place.part != OTHER]
    if first.part != OTHER or not fused:
        return first
    return max(fused, key=fused.count)


def _place(path: str) -> Place:
    *scopes, operation = path.split("/")
    names, transformations = set(), set()
    for scope in scopes:
        while wrapped := _WRAPPED.match(scope):
            transformations.add(wrapped[1])
            scope = wrapped[2]
        # Flax names methods after a dot: `attention.norm` calls `norm`.
        names.update(scope.split("."))
    backward = "transpose" in transformations
    for part, scope_names in _PARTS:
        if names & scope_names:
            return Place(part, backward)
    differentiated = transformations & {"jvp", "transpose"}
    is_head = differentiated and operation not in _CONTROL
    return Place(_HEAD if is_head else OTHER, backward)
