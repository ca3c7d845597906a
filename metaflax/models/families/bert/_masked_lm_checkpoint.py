"""Weight files of BERTs with the output layer of masked language modelling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaflax.models.families._contract import Contents, Files
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._weight_names import FILES, places
from metaflax.models.pretrained import _files, _places
from metaflax.models.pretrained._account import Place

_HEAD = "cls.predictions."
# Buffers, tied weights, and other heads of pretraining and of tasks, to which the
# pooler belongs.
_IGNORED = (
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    f"{_HEAD}decoder.",
    "cls.seq_relationship.",
    "pooler.",
    "qa_outputs.",
    "classifier.",
)


def read(directory: Path, content: Mapping[str, Any], config: BertConfig) -> Contents:
    """Reads a BERT, and the output layer of its pretraining if there is one."""
    if not content.get("tie_word_embeddings", True):
        raise ValueError(
            f"{directory / 'config.json'}: the network ties its output layer to the"
            " word embeddings, and tie_word_embeddings is false."
        )
    names = map(FILES.clean, _files.stored_tensors(directory))
    has_head = any(_kept(name) and name.startswith(_HEAD) for name in names)
    targets = _targets(config, head=has_head)
    return Contents(*_places.read(directory, targets, _renamed))


def write(
    config: BertConfig, params: Any, head: Any, pooling: str, standardize: bool
) -> Files:
    """Lays out a `BertForMaskedLM`."""
    del head, pooling, standardize
    tensors = _places.tensors_of(params, _targets(config, head=True))
    tensors = {_file_name(name): tensor for name, tensor in tensors.items()}
    return Files(config, tensors, None, "BertForMaskedLM")


def _kept(name: str) -> bool:
    return not name.startswith(_IGNORED)


def _renamed(name: str) -> str | None:
    """Returns the name of a tensor without prefix; None for one that is left out."""
    name = FILES.clean(name)
    return name if _kept(name) else None


def _file_name(name: str) -> str:
    return name if name.startswith(_HEAD) else f"bert.{name}"


def _targets(config: BertConfig, *, head: bool) -> dict[str, _places.Target]:
    """Returns where every tensor goes, by its name without prefix."""
    targets: dict[str, _places.Target] = {
        name: _places.below("encoder", place) for name, place in places(config).items()
    }
    if head:
        D, transform = config.hidden_size, f"{_HEAD}transform"
        targets |= {
            f"{_HEAD}bias": Place("head/bias", (config.vocab_size,)),
            f"{transform}.dense.weight": Place("head/dense/kernel", (D, D), True),
            f"{transform}.dense.bias": Place("head/dense/bias", (D,)),
            f"{transform}.LayerNorm.weight": Place("head/norm/scale", (D,)),
            f"{transform}.LayerNorm.bias": Place("head/norm/bias", (D,)),
        }
    return targets
