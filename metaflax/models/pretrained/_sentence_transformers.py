"""Pooling, normalisation and lengths that a sentence-transformers folder asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from metaflax.models.pretrained import _files
from metaflax.models.pretrained._sentence_modules import (
    MODULES,
    modules_of,
    network_folder,
)

SentencePooling: TypeAlias = Literal["mean", "first"]

# Poolings by their field, and by their name in newer folders.
POOLINGS: dict[str, SentencePooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "mean": "mean",
    "cls": "first",
}
# Modules that are done here, or that do nothing in prediction.
DONE = ("Transformer", "Pooling", "Normalize", "Dropout")


class SentenceEmbedding(NamedTuple):
    """How a sentence-transformers model makes one vector of a text.

    Attributes:
      directory: the folder that holds `modules.json`.
      pooling: pooling of token states; None for one that this package does not have.
      normalize: whether vectors have unit length.
      max_length: largest number of tokens of a text; None for that of the network.
      unsupported: what the folder asks for and this package does not have; empty for
        nothing.
    """

    directory: Path
    pooling: SentencePooling | None
    normalize: bool
    max_length: int | None = None
    unsupported: str = ""


def sentence_embedding(path_or_name: str | Path) -> SentenceEmbedding | None:
    """Reads how a sentence-transformers model makes vectors of texts.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      Its pooling, normalisation and length; None for a model of another library.

    Raises:
      ValueError: if the files cannot be had or are damaged.
    """
    network = _files.find(path_or_name)
    folder = _folder(network)
    if folder is None:
        return None
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    lengths = dict.fromkeys((folder, network))
    embedding = SentenceEmbedding(
        folder, None, "Normalize" in kinds, _max_length(list(lengths))
    )
    if others := [kind for kind in kinds if kind not in DONE]:
        return embedding._replace(unsupported=f"a module {others[0]}")
    poolings = [path for kind, path in modules if kind == "Pooling"]
    if len(poolings) != 1:
        return embedding._replace(unsupported=f"{len(poolings)} modules Pooling")
    names = _poolings(_files.read_json(folder / poolings[0] / "config.json"))
    if len(names) == 1 and names[0] in POOLINGS:
        return embedding._replace(pooling=POOLINGS[names[0]])
    return embedding._replace(
        unsupported=f"the pooling {' and '.join(names) or 'none'}"
    )


def _folder(network: Path) -> Path | None:
    """Returns the folder with `modules.json`: that of the network or the one above."""
    if (network / MODULES).is_file():
        return network
    above = network.absolute().parent
    is_above = (above / MODULES).is_file()
    return above if is_above and network_folder(above) == network.absolute() else None


def _poolings(content: Mapping[str, Any]) -> list[str]:
    """Lists the poolings whose results are concatenated."""
    mode = content.get("pooling_mode")
    if mode is not None:
        return [str(name) for name in (mode if isinstance(mode, list) else [mode])]
    return [n for n, on in content.items() if n.startswith("pooling_mode") and on]


def _max_length(folders: list[Path]) -> int | None:
    """Reads the largest number of tokens of a text."""
    # The name of the file holds that of the architecture.
    paths = [path for f in folders for path in sorted(f.glob("sentence_*_config.json"))]
    for path in paths:
        match _files.read_json(path).get("max_seq_length"):
            case None:
                pass
            case int(length) if not isinstance(length, bool) and length > 0:
                return length
            case other:
                raise ValueError(f"{path}: max_seq_length={other!r:.60} is no length")
    return None
