"""Tokenizers of checkpoints."""

from pathlib import Path
from typing import Any

from metaflax.models.pretrained import _files, _tokenizer_class


def tokenizer(path_or_name: str | Path) -> Any:
    """Loads a checkpoint's fast tokenizer; no torch needed, no remote code run.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      A `transformers.PreTrainedTokenizerFast`.

    Raises:
      ValueError: if the files are not available, or make no fast tokenizer.

    Examples:
      >>> import pathlib, tempfile
      >>> import tokenizers
      >>> from metaflax import models
      >>> words = tokenizers.models.WordLevel({"[UNK]": 0, "barks": 1}, "[UNK]")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "tokenizer.json"
      ...     tokenizers.Tokenizer(words).save(str(path))
      ...     tokenizer = models.pretrained.tokenizer(folder)
      >>> tokenizer(["barks", "meows"])["input_ids"]
      [[1], [0]]
    """
    directory = _files.find(path_or_name)
    # Without either, transformers makes up a tokenizer that knows no word.
    if not any(
        (directory / name).is_file() for name in ("tokenizer.json", "vocab.txt")
    ):
        raise ValueError(
            f"{directory} holds no tokenizer, neither tokenizer.json nor"
            " vocab.txt; copy it there from the pretrained model."
        )

    try:
        loaded = _tokenizer_class.load(directory, lambda: _by_class(directory))
    except Exception as error:  # Rust's parser raises bare exceptions.
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{directory} holds no tokenizer: {reason}") from error
    if not loaded.is_fast:
        raise ValueError(
            f"{directory} holds a slow tokenizer; save it again as a fast one, with"
            " tokenizer.json"
        )
    return loaded


def _by_class(directory: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        str(directory), use_fast=True, trust_remote_code=False
    )


def num_ids(tokenizer: Any) -> int:
    """Returns the number of token ids of a tokenizer: one more than the largest.

    It exceeds the number of tokens where their ids have gaps.
    """
    vocabulary = getattr(tokenizer, "get_vocab", dict)()
    return max(vocabulary.values(), default=len(tokenizer) - 1) + 1


def check_num_ids(tokenizer: Any, num_rows: int, directory: Path) -> None:
    """Checks that an embedding table has a row for each id of a tokenizer.

    JAX reads the last row for an index beyond it, without an error.

    Raises:
      ValueError: if it does not.
    """
    if (needed := num_ids(tokenizer)) > num_rows:
        raise ValueError(
            f"{directory}: the tokenizer has {needed} token ids, the embedding table"
            f" only {num_rows} rows; take the tokenizer that the model was trained"
            " with, or resize the table (`resize_token_embeddings` in transformers)."
        )
