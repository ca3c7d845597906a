"""Writing safetensors files one tensor at a time.

The library takes all tensors of a file at once, and copies them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Headers are padded to multiples of this size, as the library does.
_ALIGNMENT = 8


def write_safetensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    kind: str,
    tensors: Iterable[tuple[str, np.ndarray]],
) -> None:
    """Writes a file of tensors of one type, which are iterated over one by one.

    Args:
      path: path of the file.
      shapes: shapes of the tensors, by name, in their order.
      kind: safetensors' name of their type, such as "F32".
      tensors: names and contiguous arrays, in that order.

    Raises:
      ValueError: if the tensors do not match `shapes`.
    """
    size = {"F32": 4, "BF16": 2}[kind]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + size * int(np.prod(shape))
        header[name] = {
            "dtype": kind,
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (name, tensor), expected in zip(tensors, shapes, strict=True):
            fits = name == expected and tensor.shape == shapes[name]
            if not fits or tensor.dtype.itemsize != size:
                raise ValueError(f"the tensor {name} is not the one to be written")
            file.write(tensor.reshape(-1).view(np.uint8).data)
