"""Functions that add leaves for adaptation to the parameters of one network."""

from collections.abc import Mapping
from typing import Any

from metaflax.models.adaptation._adapters import with_adapters
from metaflax.models.adaptation._context import with_context
from metaflax.models.adaptation._lora import with_lora
from metaflax.models.adaptation._prefix import with_prefix
from metaflax.models.families._contract import AddFn, Setting


def _lora(params: Any, key: Any, size: int) -> Any:
    return with_lora(params, key, rank=size)


def _adapters(params: Any, key: Any, size: int) -> Any:
    return with_adapters(params, key, size=size)


def _context(params: Any, key: Any, size: int) -> Any:
    return with_context(params, key, size=size)


def _prefix(params: Any, key: Any, size: int) -> Any:
    return with_prefix(params, key, size=size)


ADDITIONS: Mapping[Setting, AddFn] = {
    "lora_rank": _lora,
    "adapter_size": _adapters,
    "context_size": _context,
    "prefix_size": _prefix,
}
"""Functions of the settings that all encoders and decoders support."""
