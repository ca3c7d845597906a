"""What is right for each token of a data set."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data._tokenize import TokenizedTexts


class TokenCodes(NamedTuple):
    """The codes of all tokens, end to end as their ids are.

    Attributes:
      flat: int32 `[sum of lengths]`, in the numbers of the whole data; -1 where
        nothing is said of a token.
      local: `codes = local(codes, classes, num_classes)`, in those of an episode that
        drew these classes.
      num_lost: how many parts of targets no row holds, since texts were cut.
    """

    flat: np.ndarray
    local: Callable[[np.ndarray, Sequence[int], int], np.ndarray]
    num_lost: int = 0


def token_codes(
    level: tasks.TokenLevel,
    texts: Sequence[Any],
    targets: Sequence[Any],
    tokenized: TokenizedTexts,
    names: Sequence[str],
) -> TokenCodes:
    """Says of every token what is right for it.

    Args:
      level: of a task type.
      texts: of its form.
      targets: of each text.
      tokenized: the same texts.
      names: the classes of the data.

    Returns:
      The codes of all rows of all texts.
    """
    num_rows = len(tokenized)
    owners = range(num_rows) if tokenized.owners is None else tokenized.owners
    codes = []
    kept: set[tuple[int, int]] = set()  # Texts, and which part of theirs.
    for row, owner in enumerate(owners):
        spans = tokenized.spans_of(row)
        codes.append(level.place(texts[owner], targets[owner], spans, names))
        parts = enumerate(level.parts(targets[owner]))
        kept |= {(owner, n) for n, part in parts if _holds(spans, part)}
    num_parts = sum(len(level.parts(target)) for target in targets)
    flat = np.concatenate(codes).astype(np.int32)
    return TokenCodes(flat, level.local, num_parts - len(kept))


def _holds(spans: np.ndarray, part: tuple[int, int]) -> bool:
    """Whether the tokens of a row reach over all characters of a part."""
    real = spans[spans[:, 1] > 0]
    start, end = part
    return bool(len(real)) and real[0, 0] <= start and end <= real[:, 1].max()
