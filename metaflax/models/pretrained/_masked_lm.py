"""BERTs with their pretraining's output layer: read, and written for Hugging Face."""

from pathlib import Path
from typing import Any

from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.pretrained import _files, _language_models, _places
from metaflax.models.pretrained._account import Place
from metaflax.models.pretrained._language_models import PretrainedLanguageModel

_HEAD = "cls.predictions."
# Buffers, what is tied to others, and what other heads of pretraining and of tasks
# hold, to which the pooler belongs.
_IGNORED = (
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    f"{_HEAD}decoder.",
    "cls.seq_relationship.",
    "pooler.",
    "qa_outputs.",
    _bert_names.CLASSIFIER,
)


def load_masked_lm(path_or_name: str | Path) -> PretrainedLanguageModel[BertConfig]:
    """Loads a BERT, and the output layer of its pretraining if the checkpoint has it.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      The model, for `masked_lm`; its parameters are `{"encoder": ..., "head": ...}`,
      without `head` where the checkpoint has none.

    Raises:
      ValueError: as `load`, and for an output layer that is not tied to the embeddings.
    """
    directory = _files.find(path_or_name)
    config, _ = _language_models._config(directory, BertConfig.from_dict)
    raw = _files.read_json(directory / "config.json")
    if not raw.get("tie_word_embeddings", True):
        raise ValueError(
            f"{directory / 'config.json'}: the network ties its output layer to the"
            " word embeddings, and tie_word_embeddings is false."
        )
    names = map(_bert_names.clean, _files.read_tensors(directory))
    has_head = any(_kept(name) and name.startswith(_HEAD) for name in names)
    targets = _targets(config, head=has_head)
    params, ignored = _places.read(directory, targets, _renamed)
    return PretrainedLanguageModel(config, params, directory, ignored)


def save_masked_lm(
    directory: str | Path,
    config: BertConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
) -> None:
    """Writes a directory that transformers reads as `BertForMaskedLM`.

    So does `load_masked_lm`, and `load` its encoder. The directory appears whole or not
    at all.

    Args:
      directory: which must not exist yet, or be empty.
      config: the network.
      params: `{"encoder": ..., "head": ...}`; low-rank factors go through `merge_lora`
        first.
      tokenizer_from: the directory whose tokenizer files are copied.

    Raises:
      ValueError: if the directory holds anything, there are no tokenizer files, or
        parameters do not fit the configuration.
    """
    target = _language_models._unused(directory)
    tensors = _places.tensors_of(params, _targets(config, head=True))
    tensors = {_file_name(name): tensor for name, tensor in tensors.items()}
    content = {"architectures": ["BertForMaskedLM"], **config.to_dict()}
    _language_models._write(target, content, tensors, {}, tokenizer_from)


def _kept(name: str) -> bool:
    return not name.startswith(_IGNORED)


def _renamed(name: str) -> str | None:
    """The name of a tensor without prefix; None for what the network does not read."""
    name = _bert_names.clean(name)
    return name if _kept(name) else None


def _file_name(name: str) -> str:
    return name if name.startswith(_HEAD) else f"bert.{name}"


def _targets(config: BertConfig, *, head: bool) -> dict[str, _places.Target]:
    """Where every tensor goes, by its name without prefix."""
    found: dict[str, _places.Target] = {
        name: place._replace(path=f"encoder/{place.path}")
        for name, place in _bert_names.places(config, pooler=False).items()
    }
    if head:
        D, transform = config.hidden_size, f"{_HEAD}transform"
        found |= {
            f"{_HEAD}bias": Place("head/bias", (config.vocab_size,)),
            f"{transform}.dense.weight": Place("head/dense/kernel", (D, D), True),
            f"{transform}.dense.bias": Place("head/dense/bias", (D,)),
            f"{transform}.LayerNorm.weight": Place("head/norm/scale", (D,)),
            f"{transform}.LayerNorm.bias": Place("head/norm/bias", (D,)),
        }
    return found
