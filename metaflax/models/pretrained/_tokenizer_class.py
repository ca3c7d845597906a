"""Tokenizers that are read from `tokenizer.json` alone, where that is enough.

`transformers` names a class for the tokenizer of each family, and looking it up imports
torch where it is installed: two seconds before the first text is read. Most classes add
nothing to `tokenizer.json`. Whether that is so is decided once for a set of files, by
comparing both tokenizers, and kept in the cache folder.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaflax import _files

# All that a tokenizer is made from; config.json may name its class.
_SOURCES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
)
# Attributes that are compared besides the rules of tokenizer.json.
_ATTRIBUTES = (
    "chat_template",
    "clean_up_tokenization_spaces",
    "model_max_length",
    "padding_side",
    "special_tokens_map",
    "split_special_tokens",
    "truncation_side",
)


def load(directory: Path, by_class: Callable[[], Any]) -> Any:
    """Loads a tokenizer without its class if that is known to make no difference.

    Args:
      directory: directory of the tokenizer's files.
      by_class: loads it with the class that its files name.

    Returns:
      A `transformers.PreTrainedTokenizerFast`.
    """
    if not (directory / "tokenizer.json").is_file():
        return by_class()
    record = _files.cache_folder() / "tokenizers" / f"{_digest(directory)}.json"
    inputs = _recorded(record)
    if inputs:
        return _without_class(directory, inputs)
    loaded = by_class()
    if inputs is None:
        inputs = list(loaded.model_input_names)
        alike = loaded.is_fast and _are_alike(loaded, _without_class(directory, inputs))
        # The cache folder may be read-only.
        with contextlib.suppress(OSError, ValueError):
            _files.write_json(record, {"model_input_names": inputs if alike else []})
    return loaded


def _digest(directory: Path) -> str:
    """Digests a tokenizer's files and the versions of the libraries that read them."""
    import tokenizers
    import transformers

    digest = hashlib.sha256()
    digest.update(f"{transformers.__version__} {tokenizers.__version__}".encode())
    for name in _SOURCES:
        path = directory / name
        content = _files.file_digest(path) if path.is_file() else "absent"
        digest.update(f"{name} {content}".encode())
    return digest.hexdigest()[:32]


def _recorded(record: Path) -> list[str] | None:
    """Returns the recorded input names; empty if the class is needed."""
    try:
        inputs = json.loads(record.read_text(encoding="utf-8"))["model_input_names"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return inputs if isinstance(inputs, list) else None


def _without_class(directory: Path, inputs: list[str]) -> Any:
    import transformers

    loaded = transformers.PreTrainedTokenizerFast.from_pretrained(
        str(directory), trust_remote_code=False
    )
    loaded.model_input_names = inputs
    return loaded


def _are_alike(one: Any, other: Any) -> bool:
    rules = [json.loads(t.backend_tokenizer.to_str()) for t in (one, other)]
    return rules[0] == rules[1] and all(
        getattr(one, name, None) == getattr(other, name, None) for name in _ATTRIBUTES
    )
