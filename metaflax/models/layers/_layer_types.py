"""Types of attention layers, by their names in Hugging Face's configurations."""

from typing import Any, Literal, TypeAlias

LayerType: TypeAlias = Literal["full_attention", "sliding_attention"]

FULL: LayerType = "full_attention"
SLIDING: LayerType = "sliding_attention"


def parse_layer_types(value: Any) -> tuple[Any, ...]:
    """Returns the list of a configuration as a tuple.

    Raises:
      ValueError: if it is no list.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(f"layer_types must be a list, got {value!r:.40}")
    return tuple(value)


def check_layer_types(types: tuple[Any, ...], num_layers: int) -> None:
    """Refuses unknown types, and any number of them but one for each layer.

    Raises:
      ValueError: naming an unknown type, or both numbers.
    """
    if unknown := [kind for kind in types if kind not in (FULL, SLIDING)]:
        raise ValueError(
            f"the network has no layer of type {unknown[0]!r:.40}; it has {FULL} and"
            f" {SLIDING}"
        )
    if len(types) != num_layers:
        raise ValueError(
            f"layer_types names {len(types)} layers, and num_hidden_layers is"
            f" {num_layers}"
        )
