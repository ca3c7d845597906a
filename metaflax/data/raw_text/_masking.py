"""Hiding words of texts, for a model to say what they were."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import base
from metaflax.data.raw_text._packed_text import Row
from metaflax.models import Tokens

# What becomes of a token that is asked for; the rest stays as it is.
MASKED, RANDOM = 0.8, 0.1


class Hidden(NamedTuple):
    """A row with words hidden.

    Attributes:
      ids: int32 `[L]`, what a model reads.
      places: int32 `[P]`, rising, which tokens are asked for.
      targets: int32 `[P]`, what they were.
    """

    ids: np.ndarray
    places: np.ndarray
    targets: np.ndarray


def hide_words(
    row: Row,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocabulary: np.ndarray,
    rate: float = 0.15,
) -> Hidden:
    """Hides whole words, about a share of all tokens.

    Words are taken in random order as long as their pieces fit into the share, at least
    one word. Of the pieces, 80 % are masked, 10 % become a random token and 10 % stay.

    Args:
      row: tokens and words.
      rng: draws.
      mask_id: the token of the mask.
      vocabulary: ids of the tokens that a random one is drawn from.
      rate: the share.

    Returns:
      `Hidden`, without places where the row has no word.

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for Language
      Understanding <https://arxiv.org/abs/1810.04805>`_, 2019; whole words as in the
      models that its authors released later.
    """
    order = np.unique(row.words[row.words >= 0])
    rng.shuffle(order)
    sizes = np.bincount(row.words[row.words >= 0])
    room = max(int(rate * np.count_nonzero(row.words >= 0)), 1)
    chosen = []
    for word in order.tolist():
        if sizes[word] <= room or not chosen:
            chosen.append(word)
            room -= sizes[word]
        if room <= 0:
            break
    places = np.flatnonzero(np.isin(row.words, chosen)).astype(np.int32)
    ids, fate = row.ids.copy(), rng.random(len(places))
    ids[places[fate < MASKED]] = mask_id
    random = places[(fate >= MASKED) & (fate < MASKED + RANDOM)]
    ids[random] = rng.choice(vocabulary, len(random))
    return Hidden(ids, places, row.ids[places])


def collate_hidden(
    rows: Sequence[Hidden], length: int, num_places: int, pad_id: int = 0
) -> base.Batch:
    """Rows with hidden words as a batch for `models.masked_lm`.

    Args:
      rows: S of them.
      length: L, tokens of a row.
      num_places: P, of which a row that asks for more keeps the first.
      pad_id: what fills up a shorter row.

    Returns:
      A batch of `Tokens` `[S, L]` whose marks `[S, P]` are the places, targets
      `[S, P]`, -1 where a row asks for fewer, and weights `[S]` of ones.
    """
    S = len(rows)
    ids = np.full((S, length), pad_id, np.int32)
    mask = np.zeros((S, length), np.int32)
    marks = np.zeros((S, num_places), np.int32)
    targets = np.full((S, num_places), -1, np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = row.ids
        mask[number, : len(row.ids)] = 1
        asked = min(len(row.places), num_places)
        marks[number, :asked] = row.places[:asked]
        targets[number, :asked] = row.targets[:asked]
    tokens = Tokens(ids, None, mask, marks=marks)
    return base.Batch(tokens, targets, np.ones(S, np.float32))


def ordinary_tokens(tokenizer: Any) -> np.ndarray:
    """The ids of all tokens but the special ones, int32, rising."""
    special = set(tokenizer.all_special_ids)
    return np.array([n for n in range(len(tokenizer)) if n not in special], np.int32)
