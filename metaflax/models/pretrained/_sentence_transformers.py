"""Pooling, normalisation and lengths of sentence-transformers folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

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
# Modules that are implemented here, or that do nothing in prediction.
DONE = ("Transformer", "Pooling", "Normalize", "Dropout")
# Folder of the dense layer that centres features, as standardised features are here.
CENTER = "2_Center"
# Types of the modules in every release of sentence-transformers.
_TYPE = "sentence_transformers.models."


class SentenceEmbedding(NamedTuple):
    """Settings by which a sentence-transformers model embeds a text.

    Attributes:
      directory: the folder that holds `modules.json`.
      pooling: pooling of token states; None for one that this package does not have.
      normalize: whether vectors have unit length.
      max_length: largest number of tokens of a text; None for that of the network.
      unsupported: what the folder requires and this package lacks; empty for nothing.
    """

    directory: Path
    pooling: SentencePooling | None
    normalize: bool
    max_length: int | None = None
    unsupported: str = ""


def sentence_embedding(path_or_name: str | Path) -> SentenceEmbedding | None:
    """Reads the settings by which a sentence-transformers model embeds texts.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      Its pooling, normalisation and length; None for a model of another library.

    Raises:
      ValueError: if the files are not available or are damaged.
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
    if others := [k for k, path in modules if k not in DONE and path != CENTER]:
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


def sentence_files(
    pooling: str, standardize: bool, num_features: int, max_length: int
) -> tuple[dict[str, str], dict[str, dict[str, np.ndarray]]]:
    """Makes the files beside a network with which sentence-transformers loads it.

    Standardised features are centred by a dense layer before they get unit length.

    Args:
      pooling: pooling of token states.
      standardize: whether features are standardised.
      num_features: number of features of a text.
      max_length: most tokens of a text.

    Returns:
      The content of text files, and that of safetensors files, by their names.

    Raises:
      ValueError: for a pooling that sentence-transformers does not have.
    """
    fields = [name for name, known in POOLINGS.items() if known == pooling]
    if not fields:
        raise ValueError(
            f"sentence-transformers has no pooling {pooling!r}; export a run with"
            f" pooling {' or '.join(dict.fromkeys(POOLINGS.values()))}, or take"
            " --format hf."
        )
    modules = {"": "Transformer", "1_Pooling": "Pooling"}
    settings: dict[str, Any] = {
        "sentence_bert_config.json": {
            "max_seq_length": max_length,
            "do_lower_case": False,
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": num_features,
            **{n: n in fields for n in POOLINGS if n.startswith("pooling_mode")},
        },
    }
    tensors: dict[str, dict[str, np.ndarray]] = {}
    if standardize:
        modules |= {CENTER: "Dense", "3_Normalize": "Normalize"}
        settings[f"{CENTER}/config.json"] = {
            "in_features": num_features,
            "out_features": num_features,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        centering = np.eye(num_features, dtype=np.float32) - 1 / num_features
        weights = {"linear.weight": centering.astype(np.float32)}
        tensors[f"{CENTER}/{_files.WEIGHTS}"] = weights
    settings[MODULES] = [
        {"idx": i, "name": str(i), "path": path, "type": _TYPE + kind}
        for i, (path, kind) in enumerate(modules.items())
    ]
    return {n: json.dumps(s, indent=2) + "\n" for n, s in settings.items()}, tensors


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
