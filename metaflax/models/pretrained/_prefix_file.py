"""The file of prefixes, for which Hugging Face's format has no place."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.pretrained import _directory, _files


def split(params: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Splits parameters into those of the network and prefixes by their paths."""
    flat = _extras.flatten(params)
    prefix = {p: x for p, x in flat.items() if _extras.part_of(p, _extras.PREFIX)}
    plain = {path: leaf for path, leaf in flat.items() if path not in prefix}
    return _extras.unflatten(plain), _directory.contiguous(prefix)


def restored(params: Any, directory: Path) -> Any:
    """Adds the prefixes that were saved beside the parameters."""
    if not (directory / _files.PREFIX).is_file():
        return params
    prefix = _files.read_file(directory / _files.PREFIX)
    return _extras.unflatten(
        _extras.flatten(params) | {path: jnp.asarray(x) for path, x in prefix.items()}
    )
