"""Classification of masked words (SMLMT)."""

from collections.abc import Sequence
from typing import Any, Literal

from metaflax.tasks._base import TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._forms import TEXT, Encoded, encode_texts


def encode_around_mask(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] text [SEP]`, cut on both sides of the first mask, or at its end.

    Cut at its end alone, a text would lose a word that was masked there.
    """
    rows = encode_texts(tokenizer, texts, None)["input_ids"]
    if max_length is not None and max_length > 2:
        mask = tokenizer.mask_token_id
        rows = [_around(row, mask, max_length - 2) for row in rows]
    elif max_length is not None:
        rows = [row[:max_length] for row in rows]
    return {"input_ids": rows}


def _around(row: list[int], mask: int, room: int) -> list[int]:
    """Returns the first token, the last one, and `room` of those between."""
    begin, *inner, end = row
    place = inner.index(mask) if mask in inner else 0
    first = max(min(place - room // 2, len(inner) - room), 0)
    return [begin, *inner[first : first + room], end]


MASKED_TEXT = TEXT._replace(
    name="masked text", encode=encode_around_mask, encode_windows=None
)


def masked_words(
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Classification by the word that was masked (SMLMT).

    Texts without a mask are encoded as for `classification`, so that a model that was
    meta-trained on masked words adapts to classes of texts.

    Args:
      label_smoothing: the share of a target spread over all present classes.
      class_weights: see `classification`.

    Returns:
      A `TaskType` whose targets are class numbers `[U]`.

    Raises:
      ValueError: as `classification`.

    References:
      Bansal et al., `Self-Supervised Meta-Learning for Few-Shot Natural Language
      Classification Tasks <https://arxiv.org/abs/2009.08445>`_, 2020.
    """
    task = classification(label_smoothing=label_smoothing, class_weights=class_weights)
    return task._replace(form=MASKED_TEXT, raw_text=True, variants=False, on_disk=False)
