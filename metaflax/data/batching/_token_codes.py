"""Token-level targets of a data set."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data.batching._tokenize import TokenizedTexts


class TokenCodes(NamedTuple):
    """Target codes of all tokens, concatenated like their ids.

    Attributes:
      flat: int32 `[sum of lengths]`, data-set-wide codes; -1 for tokens without a
        target.
      local: `codes = local(codes, classes, num_classes)` maps them to the codes of an
        episode with these classes.
      num_lost: number of parts of targets lost by truncation.
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
    """Computes the target code of every token.

    Args:
      level: the token level of a task type.
      texts: texts in the task type's form.
      targets: the target of each text.
      tokenized: the tokens of the texts.
      names: names of the classes of the data.

    Returns:
      The codes of all rows of all texts.
    """
    num_rows = len(tokenized)
    owners = range(num_rows) if tokenized.owners is None else tokenized.owners
    spans_of: list[list[np.ndarray]] = [[] for _ in texts]
    codes_of: list[list[np.ndarray]] = [[] for _ in texts]
    for row, owner in enumerate(owners):
        spans = tokenized.spans_of(row)
        codes = level.place(texts[owner], targets[owner], spans, names)
        spans_of[owner].append(spans)
        codes_of[owner].append(codes)
    num_lost = sum(map(level.lost, targets, spans_of, codes_of))
    rows = [codes for text_codes in codes_of for codes in text_codes]
    return TokenCodes(np.concatenate(rows).astype(np.int32), level.local, num_lost)
