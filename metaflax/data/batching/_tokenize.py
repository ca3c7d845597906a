"""Tokenizes texts once and caches the result on disk.

The tokens of all texts are concatenated in one array, so that nothing is padded before
batching and a data set is three arrays.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaflax import _files, tasks

_CHUNK = 1024  # Texts handed to the tokenizer at a time.
# Columns that a form may return for its rows.
_COLUMNS = ("input_ids", "token_type_ids", "marks", "spans", "owners", "parts")
# Arrays in the cache.
_ARRAYS = (
    *("flat", "offsets", "types", "marks", "spans", "owners", "coverage", "parts"),
    "numbers",
)
_VERSION = b"metaflax tokens 6"


@dataclasses.dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of many texts, concatenated.

    A text is one row of tokens, or several where its form splits long texts into
    windows.

    Attributes:
      flat: int32 `[sum of lengths]`, all ids.
      offsets: int64 `[rows + 1]`; row i is `flat[offsets[i]:offsets[i + 1]]`.
      types: int8 like `flat`, segment ids, or None where all are 0.
      pad_id: the token id of padding.
      num_truncated: number of truncated texts.
      marks: int32 `[rows, P]`, positions in each text of P tokens that represent parts
        of it, or None where the form has none. The position of a part that was
        truncated is 0.
      num_lost: number of texts that lost such a part.
      spans: int32 `[sum of lengths, 2]`, the character span of each token in its text,
        -1 where it has none; None where the form needs no spans.
      owners: int64 `[rows]`, non-decreasing, the index of the text of each row; None
        where each text is one row.
      coverage: int64 `[texts, 2]`, the number of tokens of each text that its rows
        hold, and the number that it has, special tokens included; None where it is
        not recorded.
      parts: int32 `[rows, P]`, the lengths of the P sequences that make up each row, 0
        for those that a row lacks; None where each row is one sequence.

    Examples:
      >>> import numpy as np
      >>> from metaflax.data import TokenizedTexts
      >>> tokens = TokenizedTexts(np.array([7, 8, 9], np.int32), np.array([0, 2, 3]))
      >>> len(tokens), tokens.lengths, tokens[0]
      (2, array([2, 1]), array([7, 8], dtype=int32))
    """

    flat: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None = None
    pad_id: int = 0
    num_truncated: int = 0
    marks: np.ndarray | None = None
    num_lost: int = 0
    spans: np.ndarray | None = None
    owners: np.ndarray | None = None
    coverage: np.ndarray | None = None
    parts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(index)  # Ends iteration.
        index %= len(self)
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each row, int64 `[rows]`."""
        return np.diff(self.offsets)

    @property
    def num_parts(self) -> int:
        """Number of sequences of a row, P."""
        return 1 if self.parts is None else self.parts.shape[1]

    @property
    def widths(self) -> np.ndarray:
        """Number of tokens of the longest sequence of each row, int64 `[rows]`."""
        if self.parts is None:
            return self.lengths
        return self.parts.max(axis=1).astype(np.int64)

    def sequences(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds where the sequences of rows begin in `flat`, and their lengths.

        Args:
          rows: indices `[...]`.

        Returns:
          Two arrays, int64 `[..., P]`.

        Examples:
          >>> ids, offsets = np.array([7, 8, 9, 7], np.int32), np.array([0, 1, 4])
          >>> parts = np.array([[1, 0], [2, 1]], np.int32)
          >>> tokens = TokenizedTexts(ids, offsets, parts=parts)
          >>> starts, lengths = tokens.sequences(np.array([1]))
          >>> print(starts, lengths, tokens.widths)
          [[1 3]] [[2 1]] [1 2]
        """
        starts = self.offsets[rows][..., None]
        if self.parts is None:
            return starts, (self.offsets[rows + 1] - self.offsets[rows])[..., None]
        lengths = self.parts[rows].astype(np.int64)
        return starts + np.cumsum(lengths, axis=-1) - lengths, lengths

    def rows_of(self, texts: np.ndarray) -> np.ndarray:
        """Returns the rows of each text in turn.

        Examples:
          >>> ids, windows = np.array([7, 8, 9], np.int32), np.array([0, 1, 1])
          >>> tokens = TokenizedTexts(ids, np.arange(4), owners=windows)
          >>> print(tokens.rows_of(np.array([1, 0])))
          [1 2 0]
        """
        if self.owners is None:
            return texts
        first = np.searchsorted(self.owners, texts)
        last = np.searchsorted(self.owners, texts, side="right")
        rows = [np.arange(a, b) for a, b in zip(first, last, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *rows])

    def spans_of(self, row: int) -> np.ndarray:
        """Returns the character span of each token of a row, int32 `[L, 2]`."""
        assert self.spans is not None  # Only forms with spans call this.
        return self.spans[self.offsets[row] : self.offsets[row + 1]]


def tokenize(
    tokenizer: Any,
    texts: Sequence[Any],
    *,
    max_length: int,
    form: tasks.Form = tasks.TEXT,
    on_long: str = "error",
    max_positions: int | None = None,
    cache_dir: str | Path | None = None,
) -> TokenizedTexts:
    """Tokenizes texts, or loads the tokens from the cache.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: texts in the form `form`.
      max_length: maximum number of tokens of a text, special tokens included.
      form: defines how the texts are encoded.
      on_long: `error` rejects a longer text, `truncate` cuts it.
      max_positions: maximum sequence length of the model, where the tokenizer has none.
      cache_dir: folder of the cache, keyed by texts, tokenizer and `max_length`; a
        damaged file is rebuilt. Without it, or with a tokenizer that has no
        `tokenizer.json`, nothing is cached.

    Returns:
      The tokens of every text.

    Raises:
      ValueError: if a text is too long, gives no tokens, or `max_length` does not
        fit the model.

    Examples:
      >>> import tokenizers, transformers
      >>> from metaflax import data
      >>> words = {"[UNK]": 0, "it": 1, "barks": 2}
      >>> backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
      >>> backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
      >>> tokenizer = transformers.PreTrainedTokenizerFast(
      ...     tokenizer_object=backend, pad_token="[UNK]", model_max_length=8
      ... )
      >>> data.tokenize(tokenizer, ["it barks", "it meows"], max_length=8).flat
      array([1, 2, 1, 0], dtype=int32)
      >>> data.tokenize(tokenizer, ["it barks loudly"], max_length=2)
      Traceback (most recent call last):
        ...
      ValueError: example 0 has 3 tokens and the limit is 2: 'it barks loudly'...
    """
    if on_long not in ("error", "truncate"):
        raise ValueError(f"on_long is {on_long!r}; it is 'error' or 'truncate'.")
    limit = min(tokenizer.model_max_length, max_positions or tokenizer.model_max_length)
    if not 1 <= max_length <= limit:
        raise ValueError(
            f"max_length={max_length} does not fit a model of {limit} positions;"
            f" choose 1 to {limit}."
        )
    path = _cache_path(tokenizer, texts, form, max_length, cache_dir)
    tokens = None if path is None else _load(path)
    if tokens is None or (tokens.num_truncated and on_long == "error"):
        tokens = _tokenize(tokenizer, texts, form, max_length, on_long)
        if path is not None:
            _save(path, tokens)
    return tokens


def _tokenize(
    tokenizer: Any,
    texts: Sequence[Any],
    form: tasks.Form,
    max_length: int,
    on_long: str,
) -> TokenizedTexts:
    columns: dict[str, list] = {name: [] for name in _COLUMNS}
    coverage: list[np.ndarray] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        encoded = form.encode(tokenizer, chunk, max_length if form.windows else None)
        if form.windows:
            encoded["owners"] = [start + owner for owner in encoded["owners"]]
        rows = encoded["input_ids"]
        totals = encoded.get("totals") or _totals(encoded, start, len(chunk))
        most = form.row_length(max_length)
        widths = [max(parts) for parts in encoded.get("parts", [])] or map(len, rows)
        long = [i for i, width in enumerate(widths) if width > most]
        if long:  # The form truncates, and keeps the special tokens.
            truncated = form.encode(tokenizer, [chunk[i] for i in long], max_length)
            for column, shortened in truncated.items():
                for i, row in zip(long, shortened, strict=True):
                    encoded[column][i] = row
        read = encoded.get("num_read") or _totals(encoded, start, len(chunk))
        if on_long == "error" and (cut := np.flatnonzero(np.less(read, totals))).size:
            first = int(cut[0])
            each = " for each sequence" if "parts" in encoded else ""
            raise ValueError(
                f"example {start + first} has {totals[first]} tokens and the limit"
                f" is {most}{each}: {str(chunk[first])[:40]!r}... Shorten it, raise"
                " max_length, or choose on_long='truncate'."
            )
        coverage.append(np.stack([read, totals], axis=-1))
        for column, values in columns.items():
            values += encoded.get(column, [])
    covered = np.concatenate([np.zeros((0, 2), np.int64), *coverage])  # [texts, 2]
    num_truncated = int(np.sum(covered[:, 0] < covered[:, 1]))
    tokens = _packed(columns, tokenizer.pad_token_id or 0, num_truncated)
    return dataclasses.replace(tokens, coverage=covered)


def _totals(encoded: dict[str, list], start: int, num_texts: int) -> np.ndarray:
    """Counts the tokens of the rows of each text."""
    lengths = [len(row) for row in encoded["input_ids"]]
    if "owners" not in encoded:
        return np.array(lengths, np.int64)
    owners = np.array(encoded["owners"], np.int64) - start
    return np.bincount(owners, lengths, num_texts).astype(np.int64)


def _packed(
    columns: dict[str, list], pad_id: int, num_truncated: int
) -> TokenizedTexts:
    ids, types = columns["input_ids"], columns["token_type_ids"]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    if not lengths.all():
        raise ValueError(
            f"example {int(np.argmin(lengths))} gives no tokens; remove the text."
        )
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = _flattened(ids, np.int32, offsets[-1])
    segments = _flattened(types, np.int8, offsets[-1]) if types else None
    if segments is not None and not segments.any():
        segments = None
    tokens = TokenizedTexts(flat, offsets, segments, pad_id, num_truncated)
    if columns["spans"]:
        spans = np.concatenate(columns["spans"]).astype(np.int32)
        tokens = dataclasses.replace(tokens, spans=spans)  # [sum of lengths, 2]
    if columns["owners"]:
        owners = np.array(columns["owners"], np.int64)
        tokens = dataclasses.replace(tokens, owners=owners)
    if columns["parts"]:
        tokens = dataclasses.replace(tokens, parts=_padded(columns["parts"]))
    if not columns["marks"]:
        return tokens
    marks = np.array(columns["marks"], np.int32)  # [texts, P]
    return dataclasses.replace(
        tokens,
        marks=np.maximum(marks, 0),
        num_lost=int((marks < 0).any(axis=1).sum()),
    )


def _padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Pads rows of numbers with zeros to the longest, int32 `[rows, P]`."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, numbers in zip(padded, rows, strict=True):
        row[: len(numbers)] = numbers
    return padded


def _flattened(rows: Iterable[list[int]], dtype: Any, size: int) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(rows), dtype, int(size))


def _cache_path(
    tokenizer: Any,
    texts: Sequence[Any],
    form: tasks.Form,
    max_length: int,
    cache_dir: str | Path | None,
) -> Path | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if cache_dir is None or backend is None:
        return None
    rules = json.loads(backend.to_str())
    # Calls of the tokenizer change these settings, which do not affect the tokens here.
    rules.pop("truncation", None)
    rules.pop("padding", None)
    digest = hashlib.sha256(_VERSION)
    parts = (
        json.dumps(rules, sort_keys=True),
        f"{form.name} {max_length} {tokenizer.pad_token_id}",
        *(json.dumps(text) for text in texts),
    )
    for part in parts:
        data = part.encode()
        # Lengths as prefixes, so that different lists of texts have different digests.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return Path(cache_dir) / f"tokens-{digest.hexdigest()}.npz"


def _load(path: Path) -> TokenizedTexts | None:
    """Loads tokens from the cache, or returns None if missing or damaged."""
    try:
        # Opened here, since np.load leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            digest = bytes(file["digest"])
    # After any failure the texts are tokenized again.
    except Exception:
        return None
    if digest != _digest(path, arrays):
        return None
    pad_id, num_truncated, num_lost = arrays.pop("numbers").tolist()
    flat, offsets = arrays.pop("flat"), arrays.pop("offsets")
    columns: dict[str, Any] = {n: x if x.size else None for n, x in arrays.items()}
    return TokenizedTexts(
        flat,
        offsets,
        pad_id=pad_id,
        num_truncated=num_truncated,
        num_lost=num_lost,
        **columns,
    )


def _save(path: Path, tokens: TokenizedTexts) -> None:
    numbers = np.array([tokens.pad_id, tokens.num_truncated, tokens.num_lost])
    absent = np.zeros(0, np.int8)
    columns = {name: getattr(tokens, name) for name in _ARRAYS if name != "numbers"}
    arrays = {name: absent if x is None else x for name, x in columns.items()}
    arrays["numbers"] = numbers
    digest = np.frombuffer(_digest(path, arrays), np.uint8)
    with _files.atomic_write(path, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays, digest=digest)


def _digest(path: Path, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Computes the SHA-256 of arrays and of the file's name, which is the cache key.

    The checksum of each array in a `.npz` is not enough: if an array's header is
    damaged, only part of it may be read, and the checksum is never verified.
    """
    digest = hashlib.sha256(path.name.encode())
    for name in _ARRAYS:
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        whole = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        digest.update(whole)  # pyright: ignore
    return digest.digest()
