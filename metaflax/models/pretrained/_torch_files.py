"""Torch's weight files, read without torch and without executing them.

A `pytorch_model.bin` is a zip archive of the bytes of each storage and of a pickle,
which is a program that makes tensors of them. Python would run any program it finds
there. Here it is run by an interpreter that knows the few instructions of a state dict,
and can make nothing but tensors.
"""

import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

# Of a large model it takes about a megabyte.
MOST_PROGRAM = 64 * 2**20
# Beginning of a file of torch before version 1.6.
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"

DTYPES: dict[str, Any] = {
    "torch DoubleStorage": np.float64,
    "torch FloatStorage": np.float32,
    "torch HalfStorage": np.float16,
    "torch BFloat16Storage": jnp.bfloat16,
    "torch LongStorage": np.int64,
    "torch IntStorage": np.int32,
    "torch ShortStorage": np.int16,
    "torch CharStorage": np.int8,
    "torch ByteStorage": np.uint8,
    "torch BoolStorage": np.bool_,
}


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a `pytorch_model.bin`.

    Args:
      path: path of the file.

    Returns:
      Arrays by their names, in the types of the file.

    Raises:
      ValueError: if the file is missing or damaged, is of torch before version 1.6, or
        holds anything but tensors by name.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(OLD_MAGIC)) == OLD_MAGIC:
                raise ValueError(
                    "it is of torch before version 1.6; open and save it with a later"
                    " one, or fetch the model as safetensors"
                )
        with zipfile.ZipFile(path) as archive:
            return _state_dict(_Archive(archive))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    # Errors that reading a damaged archive raises.
    except (
        zipfile.BadZipFile,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        OverflowError,
        RuntimeError,
        struct.error,
    ) as error:
        raise ValueError(
            f"{path} is damaged or no weight file of torch ({error}); fetch it again"
        ) from error


class _Archive:
    """Entries of a weight file, uncompressed, so that none is a zip bomb."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._entries = {info.filename: info for info in archive.infolist()}
        programs = [n for n in self._entries if n.split("/")[1:] == ["data.pkl"]]
        if len(programs) != 1:
            raise ValueError("it is no weight file of torch; it has no data.pkl")
        self._folder = programs[0].split("/")[0]
        if self.has("byteorder") and self.read("byteorder", 16) != b"little":
            raise ValueError("its numbers are big-endian; save it on another machine")

    def has(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._entries

    def read(self, name: str, most: int) -> bytes:
        """Reads an entry, and verifies its checksum."""
        info = self._entries.get(f"{self._folder}/{name}")
        if info is None:
            raise ValueError(f"it has no entry {name!r}; fetch it again")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
            raise ValueError(
                f"its entry {name!r} is compressed or too large, as torch writes none"
            )
        return self._archive.read(info)


class _Storage(NamedTuple):
    """The numbers of one or more tensors, `[N]`."""

    numbers: np.ndarray


class _Global(NamedTuple):
    """A name in a module, not yet resolved."""

    name: str


def _state_dict(archive: _Archive) -> dict[str, np.ndarray]:
    program = archive.read("data.pkl", MOST_PROGRAM)
    storages: dict[str, _Storage] = {}

    def storage(reference: Any) -> _Storage:
        match reference:
            case ("storage", _Global(name), str(key), str(), int(count)):
                if name not in DTYPES:
                    raise ValueError(f"it has numbers of the type {name}")
            case _:
                raise ValueError("it refers to something that is no storage")
        dtype = np.dtype(DTYPES[name])
        if key not in storages:
            size = count * dtype.itemsize
            content = archive.read(f"data/{key}", max(size, 0))
            if len(content) != size:
                raise ValueError(f"its storage {key} is cut off; fetch it again")
            storages[key] = _Storage(np.frombuffer(content, dtype))
        entry = storages[key]
        if entry.numbers.dtype != dtype or len(entry.numbers) != count:
            raise ValueError(f"it describes its storage {key} in two ways")
        return entry

    state = _run(program, storage)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, np.ndarray) for name, x in state.items()
    ):
        raise ValueError(
            "it holds something else than tensors by name; save model.state_dict()"
        )
    return state


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """Does what `torch._utils._rebuild_tensor_v2` does, as a view of the storage.

    With copies, a file of many views could exhaust the memory.
    """
    counts = (offset, *shape, *strides)
    valid = all(type(n) is int and n >= 0 for n in counts)
    if not isinstance(storage, _Storage) or not valid or len(shape) != len(strides):
        raise ValueError("it describes a tensor wrongly")
    numbers, size = storage.numbers, math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if size and (last >= len(numbers) or size > len(numbers)):
        raise ValueError(f"a tensor {list(shape)} reaches out of its storage")
    if not size:
        return np.zeros(shape, numbers.dtype)
    bytes_apart = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(
        numbers[offset:], shape, bytes_apart, writeable=False
    )


def _parameter(data: Any, *_: Any) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise ValueError("it has a parameter that is no tensor")
    return data


# Functions that a program may call.
CALLS: Mapping[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda: {},
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
}
_MARK = object()
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE"),
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _run(program: bytes, storage: Callable[[Any], _Storage]) -> Any:
    """Runs a program of the instructions that `torch.save` writes, for its result.

    Raises:
      ValueError: for any other instruction, or a call of anything not in `CALLS`.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        at = len(stack) - 1
        while stack[at] is not _MARK:  # By identity: arrays have no one answer to ==.
            at -= 1
            if at < 0:
                raise IndexError("no mark on the stack")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    for opcode, read, _ in pickletools.genops(program):
        argument: Any = read
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "GLOBAL":
                stack.append(_Global(argument))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "BINPERSID":
                stack.append(storage(stack.pop()))
            case "REDUCE":
                arguments, called = stack.pop(), stack.pop()
                stack.append(_called(called, arguments))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _put(stack[-1], [key, value])
            case "SETITEMS":
                items = since_mark()
                _put(stack[-1], items)
            case "BUILD":
                stack.pop()  # Attributes, such as versions of modules.
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name]())
            case name if name in _LITERALS:
                stack.append(argument)
            case name if name in _TUPLES:
                count = _TUPLES[name]
                popped = tuple(stack[-count:])
                if len(popped) < count:
                    raise IndexError("too few values on the stack")
                stack[-count:] = [popped]
            case name:
                raise ValueError(f"it holds more than tensors: the instruction {name}")
    raise ValueError("its program does not end; fetch it again")


def _called(called: Any, arguments: Any) -> Any:
    if not isinstance(called, _Global) or called.name not in CALLS:
        name = called.name if isinstance(called, _Global) else "what it made"
        raise ValueError(
            f"it would call {name}, which makes no tensor; do not open it with torch"
            " either, and fetch the model as safetensors"
        )
    try:
        return CALLS[called.name](*arguments)
    except TypeError as error:
        raise ValueError(f"it calls {called.name} wrongly") from error


def _put(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("it puts items where there is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise ValueError("it has names that are no text")
        target[key] = value
