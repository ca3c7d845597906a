"""Which part of a training step an operation belongs to, by where it comes from.

A path such as `jit(step)/while/body/transpose(jvp(Bert))/layer_0/mlp/up/dot_general`
names what was traced: transformations are written around a name, and scopes and modules
of the network follow each other, the operation last.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

OTHER = "other"

# The first whose names occur in a path is the part that it belongs to.
_PARTS = (
    ("outer optimizer", {"outer_optimizer"}),
    ("inner update", {"inner_update"}),
    ("dropout", {"dropout"}),
    ("norm", {"norm"}),
    ("embeddings", {"embeddings"}),
    ("attention", {"attention"}),
    ("mlp", {"mlp"}),
    ("encoder, rest", {"Bert", "pooler", "adapter"}),
)
# What is differentiated and lies outside of the network.
_HEAD = "head and loss"
_CONTROL = {"while", "body", "cond", "closed_call", "branch_0_fun", "branch_1_fun"}

_WRAPPED = re.compile(r"^(\w+)\((.*)\)$")


class Place(NamedTuple):
    """What an operation belongs to.

    Attributes:
      part: as people think of it.
      backward: whether it carries derivatives back, those of inner steps included.
    """

    part: str
    backward: bool


def place_of(paths: Iterable[str]) -> Place:
    """The place of an operation.

    Args:
      paths: where it comes from, then where what was fused into it comes from. The
        first counts, unless it says nothing; then the one most often named does.

    Returns:
      A `Place`.

    Examples:
      >>> place_of(["jit(step)/while/body/transpose(jvp(Bert))/layer_0/mlp/up/dot"])
      Place(part='mlp', backward=True)
    """
    first, *rest = [_place(path) for path in paths]
    told = [place for place in rest if place.part != OTHER]
    if first.part != OTHER or not told:
        return first
    return max(told, key=told.count)


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
    for part, told_by in _PARTS:
        if names & told_by:
            return Place(part, backward)
    differentiated = transformations & {"jvp", "transpose"}
    told = differentiated and operation not in _CONTROL
    return Place(_HEAD if told else OTHER, backward)
