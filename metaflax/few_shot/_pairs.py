"""Pairs of texts, as scikit-learn's users hold them."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def pairs_of(values: Any) -> list[tuple[Any, Any]]:
    """Lists pairs of texts.

    Args:
      values: a sequence of pairs, an array `[U, 2]` or a data frame of two columns.

    Returns:
      The pairs, in order.

    Raises:
      ValueError: if there is a row of anything but two texts.

    Examples:
      >>> pairs_of(np.array([["it rains", "it is wet"], ["it barks", "it purrs"]]))
      [('it rains', 'it is wet'), ('it barks', 'it purrs')]
    """
    if hasattr(values, "to_numpy"):  # Iterating over a data frame gives its columns.
        values = values.to_numpy()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{values!r:.40} is no sequence; give a list of pairs.")
    pairs = []
    for number, row in enumerate(values):
        texts = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(texts, list | tuple) or len(texts) != 2:
            raise ValueError(
                f"X[{number}] is {texts!r:.40}; with a pair_encoding give two texts a"
                " row."
            )
        pairs.append((texts[0], texts[1]))
    return pairs


def pair_columns(pair: tuple[Any, Any]) -> dict[str, Any]:
    """Returns the columns of a pair, as a file has them."""
    return {"text": pair[0], "text_pair": pair[1]}
