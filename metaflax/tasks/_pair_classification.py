"""Classification of pairs of texts."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from metaflax.tasks._base import TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, tokenize


class Pair(NamedTuple):
    """Two texts that are encoded together."""

    first: str
    second: str


def read_pair(fields: Fields) -> Pair:
    """Reads the texts of the roles `text` and `text_pair`."""
    return Pair(fields.text("text"), fields.text("text_pair"))


def encode_pairs(
    tokenizer: Any, pairs: Sequence[Pair], max_length: int | None
) -> Encoded:
    """`[CLS] first [SEP] second [SEP]`, segments 0 and 1, the longer one cut first."""
    firsts, seconds = [pair.first for pair in pairs], [pair.second for pair in pairs]
    return tokenize(
        tokenizer, firsts, seconds, max_length=max_length, return_token_type_ids=True
    )


PAIR = Form(
    name="pair",
    required=("text", "text_pair"),
    read=read_pair,
    row=lambda pair: {"text": pair.first, "text_pair": pair.second},
    encode=encode_pairs,
)


def pair_classification(
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Classification of pairs of texts, such as entailment and paraphrase.

    Args:
      label_smoothing: as for `classification`.
      class_weights: as for `classification`.

    Returns:
      A `TaskType` as `classification`, whose inputs are encoded in two segments.

    Raises:
      ValueError: as `classification`.

    Examples:
      >>> row = Fields({"text": "It rains.", "text_pair": "It is wet."}, "a.jsonl:1")
      >>> pair_classification().form.read(row)
      Pair(first='It rains.', second='It is wet.')
    """
    by_class = classification(
        label_smoothing=label_smoothing, class_weights=class_weights
    )
    return by_class._replace(form=PAIR, variants=False, on_disk=False)
