"""What is right for each token of a data set."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data.batching._tokenize import TokenizedTexts


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
    spans_of: list[list[np.ndarray]] = [[] for _ in texts]
    codes_of: list[list[np.ndarray]] = [[] for _ in texts]
    for row, owner in enumerate(owners):
        spans = tokenized.spans_of(row)
        codes = level.place(texts[owner], targets[owner], spans, names)
        spans_of[owner].append(spans)
        codes_of[owner].append(codes)
    num_lost = sum(map(level.lost, targets, spans_of, codes_of))
    rows = [codes for own in codes_of for codes in own]
    return TokenCodes(np.concatenate(rows).astype(np.int32), level.local, num_lost)
