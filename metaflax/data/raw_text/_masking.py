"""Whole-word masking for masked language models (MLM)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import base
from metaflax.data.raw_text._packed_text import Row
from metaflax.models import Tokens

# Shares of the predicted tokens that are masked and randomised; the rest is unchanged.
MASKED, RANDOM = 0.8, 0.1


class MaskedRow(NamedTuple):
    """Row with masked words.

    Attributes:
      ids: int32 `[L]`, the corrupted token ids, a model's input.
      positions: int32 `[P]`, positions of the tokens to predict, in increasing order.
      targets: int32 `[P]`, the original ids of these tokens.
    """

    ids: np.ndarray
    positions: np.ndarray
    targets: np.ndarray


def mask_words(
    row: Row,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocabulary: np.ndarray,
    rate: float = 0.15,
) -> MaskedRow:
    """Masks whole words of a row, about a share `rate` of its tokens.

    Words are drawn in random order as long as their pieces fit into the share, at least
    one word. Of the pieces, 80 % are replaced by the mask, 10 % by a random token, and
    10 % are unchanged.

    Args:
      row: tokens and words.
      rng: source of randomness.
      mask_id: id of the mask token.
      vocabulary: ids that random tokens are drawn from.
      rate: share of the tokens to predict.

    Returns:
      `MaskedRow`, without positions if the row has no word.

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for Language
      Understanding <https://arxiv.org/abs/1810.04805>`_, 2019; whole words as in the
      models that its authors released later.
    """
    order = np.unique(row.words[row.words >= 0])
    rng.shuffle(order)
    sizes = np.bincount(row.words[row.words >= 0])
    room = max(int(rate * np.count_nonzero(row.words >= 0)), 1)
    masked_words = []
    for word in order.tolist():
        if sizes[word] <= room or not masked_words:
            masked_words.append(word)
            room -= sizes[word]
        if room <= 0:
            break
    positions = np.flatnonzero(np.isin(row.words, masked_words)).astype(np.int32)
    ids, draws = row.ids.copy(), rng.random(len(positions))
    ids[positions[draws < MASKED]] = mask_id
    random = positions[(draws >= MASKED) & (draws < MASKED + RANDOM)]
    ids[random] = rng.choice(vocabulary, len(random))
    return MaskedRow(ids, positions, row.ids[positions])


def collate_masked(
    rows: Sequence[MaskedRow], length: int, num_positions: int, pad_id: int = 0
) -> base.Batch:
    """Collates rows with masked words into a batch for `masked_lm`.

    Args:
      rows: S rows.
      length: L, the padded length of a row in tokens.
      num_positions: P, the maximum number of predicted tokens of a row.
      pad_id: token id of padding.

    Returns:
      A batch of `Tokens` `[S, L]` whose marks `[S, P]` are the positions of the
      predicted tokens, targets `[S, P]`, -1 on padding, and weights `[S]` of ones.
    """
    S = len(rows)
    ids = np.full((S, length), pad_id, np.int32)
    mask = np.zeros((S, length), np.int32)
    marks = np.zeros((S, num_positions), np.int32)
    targets = np.full((S, num_positions), -1, np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = row.ids
        mask[number, : len(row.ids)] = 1
        num_targets = min(len(row.positions), num_positions)
        marks[number, :num_targets] = row.positions[:num_targets]
        targets[number, :num_targets] = row.targets[:num_targets]
    tokens = Tokens(ids, None, mask, marks=marks)
    return base.Batch(tokens, targets, np.ones(S, np.float32))


def ordinary_tokens(tokenizer: Any) -> np.ndarray:
    """Returns the ids of all non-special tokens, int32, in increasing order."""
    special = set(tokenizer.all_special_ids)
    return np.array([n for n in range(len(tokenizer)) if n not in special], np.int32)
