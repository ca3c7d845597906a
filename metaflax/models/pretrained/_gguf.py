"""Files of the format GGUF, whose quantised tensors are dequantised one by one."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax.models.pretrained._files import StoredTensor

# Far more than the words or merges of any tokenizer: a damaged length may be any
# number.
MOST_ELEMENTS = 4 * 2**20


class GGUF(NamedTuple):
    """A GGUF file.

    Attributes:
      path: path of the file.
      architecture: llama.cpp's name of its network.
      metadata: fields by their names.
      tensors: float32 tensors by their names, read and dequantised on demand.
    """

    path: Path
    architecture: str
    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    def field(self, name: str, default: Any = None) -> Any:
        """Returns a field of the network, whose name begins with its architecture."""
        return self.metadata.get(f"{self.architecture}.{name}", default)

    def required(self, name: str) -> Any:
        """Returns a field of the network.

        Raises:
          ValueError: if there is none.
        """
        value = self.field(name)
        if value is None:
            raise ValueError(f"it has no field {self.architecture}.{name}")
        return value


class GGUFTensor(NamedTuple):
    """Place of a tensor of a GGUF file.

    Attributes:
      name: name of the tensor in Hugging Face's files.
      shape: its shape, the same in both formats.
      convert: turns it from llama.cpp's order of features into Hugging Face's.
    """

    name: str
    shape: tuple[int, ...]
    convert: Callable[[np.ndarray], np.ndarray] = lambda x: x


class GGUFFormat(NamedTuple):
    """Layout of a family of networks in GGUF files.

    Attributes:
      architectures: llama.cpp's names of the networks.
      config: `content = config(file)`, the content of a `config.json`.
      tensors: `tensors = tensors(file, config)`, where each tensor goes by its name.
      architecture: `name = architecture(config)`, Hugging Face's name of the class.
      read_by_config: tensors that only `config` reads.
    """

    architectures: tuple[str, ...]
    config: Callable[[GGUF], dict[str, Any]]
    tensors: Callable[[GGUF, Any], Mapping[str, GGUFTensor]]
    architecture: Callable[[Any], str]
    read_by_config: tuple[str, ...] = ()


def interleaved(num_heads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a conversion of the rows of queries or keys of this many heads.

    Rotary positions pair features next to each other in llama.cpp, and features half a
    head apart in Hugging Face's networks.
    """

    def convert(x: np.ndarray) -> np.ndarray:
        pairs = x.reshape(num_heads, -1, 2, *x.shape[1:])
        return pairs.swapaxes(1, 2).reshape(x.shape)

    return convert


def require_gguf() -> Any:
    """Imports the package `gguf`.

    Raises:
      ValueError: if it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise ValueError(
            "reading files of the format GGUF takes the package gguf; run `pip install"
            " 'metaflax[gguf]'`."
        ) from error
    return gguf


def read_gguf(path: str | Path) -> GGUF:
    """Reads the header of a file; its tensors are read on demand.

    Args:
      path: path of the file.

    Raises:
      ValueError: if the package `gguf` is missing, or the file is missing, damaged, or
        of an unknown quantisation.
    """
    path, package = Path(path).expanduser(), require_gguf()
    try:
        reader = _bounded_reader(package)(path)
        fields = reader.fields.items()
        metadata = {name: field.contents() for name, field in fields}
        tensors = {t.name: _stored(path, package, t) for t in reader.tensors}
    # Errors that the reader raises for damaged files.
    except (
        ValueError,
        LookupError,
        MemoryError,
        OSError,
        OverflowError,
        TypeError,
    ) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ValueError(
            f"{path} is damaged or no file of the format GGUF ({reason:.200}); fetch it"
            " again."
        ) from error
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ValueError(f"{path} names no general.architecture; fetch it again.")
    return GGUF(path, architecture, metadata, tensors)


@functools.cache
def _bounded_reader(package: Any) -> Any:
    """Returns a reader that raises where it would never finish a damaged file."""

    class Reader(package.GGUFReader):
        def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order=None):
            values = super()._get(offset, dtype, count, override_order)
            if len(values) != int(count):
                raise ValueError(f"it ends before byte {int(offset) + int(count)}")
            return values

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type == package.GGUFValueType.ARRAY:
                length = int(self._get(orig_offs + 4, np.uint64)[0])
                if length > MOST_ELEMENTS:
                    raise ValueError(f"it has an array of {length} elements")
            return super()._get_field_parts(orig_offs, raw_type)

    return Reader


def _stored(path: Path, package: Any, tensor: Any) -> StoredTensor:
    def read() -> np.ndarray:
        try:
            wide = package.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise ValueError(
                f"{path}: the tensor {tensor.name} is of the quantisation"
                f" {tensor.tensor_type.name}, which cannot be dequantised; take a file"
                " of another one."
            ) from error
        return np.asarray(wide, np.float32)

    shape = tuple(int(n) for n in reversed(tensor.shape))
    return StoredTensor(shape, np.dtype(np.float32), read)


def in_order(
    file: GGUF, places: Mapping[str, GGUFTensor], dtype: Any
) -> Iterator[tuple[str, np.ndarray]]:
    """Reads tensors one after the other, converted, under Hugging Face's names."""
    for name, place in places.items():
        tensor = place.convert(file.tensors[name].read())
        yield place.name, np.ascontiguousarray(tensor.astype(dtype, copy=False))
