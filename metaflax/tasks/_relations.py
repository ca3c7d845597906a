"""Relation extraction: classification of pairs of entities in a text."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp

from metaflax import heads, metrics
from metaflax.metrics._classification import last_precision, last_recall
from metaflax.tasks._base import TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form

Span: TypeAlias = tuple[int, int]

NONE = "none of the above"
# Tokens of BERT's vocabularies that no text contains: where the head begins and ends,
# where the tail does.
MARKERS = ("[unused1]", "[unused2]", "[unused3]", "[unused4]")


class Mention(NamedTuple):
    """A text and two of its entities.

    Attributes:
      text: the text.
      head: characters `text[start:end]` of the entity that the relation goes from.
      tail: of the entity that it goes to.

    Examples:
      >>> from metaflax import tasks
      >>> row = {"text": "Ada wrote to Bob.", "head": [0, 3], "tail": [13, 16]}
      >>> mention = tasks.relations().form.read(tasks.Fields(row, "a.jsonl:1"))
      >>> mention
      Mention(text='Ada wrote to Bob.', head=(0, 3), tail=(13, 16))
      >>> mention.text[slice(*mention.tail)]
      'Bob'
    """

    text: str
    head: Span
    tail: Span


def read_mention(fields: Fields) -> Mention:
    """Reads a text with two entities, given as ranges of characters or of tokens.

    With a column `tokens`, a list of words, `head` and `tail` hold ranges of words and
    the text is these words with spaces between. Otherwise they hold ranges of
    characters of the column of texts. A range is `[start, end]`, its end not included,
    or stands first in a list `spans` of an object, as FewRel has it.

    Raises:
      ValueError: if a range is none, or lies outside the text.
    """
    if not fields.has("tokens"):
        text = fields.text("text")
        head, tail = (_span(fields, role, len(text)) for role in ("head", "tail"))
        return _checked(fields, Mention(text, head, tail))
    words = fields.value("tokens")
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise fields.refused("tokens", "is to be a list of words.")
    starts = [0, *itertools.accumulate(len(word) + 1 for word in words)]

    def characters(role: str) -> Span:
        first, last = _span(fields, role, len(words))
        return starts[first], starts[last] - 1

    mention = Mention(" ".join(words), characters("head"), characters("tail"))
    return _checked(fields, mention)


def _span(fields: Fields, role: str, length: int) -> Span:
    """The first range of an entity, within a text of `length`."""
    held = fields.value(role)
    spans = held.get("spans") if isinstance(held, dict) else [held]
    match spans:
        case [[int(start), int(end)], *_]:
            pass
        case _:
            raise fields.refused(
                role, f"holds {held!r:.60} where a range [start, end] is expected."
            )
    if not 0 <= start < end <= length:
        raise fields.refused(
            role,
            f"is the range [{start}, {end}], outside of a text of length {length};"
            " ranges count from 0 and their end is not included.",
        )
    return start, end


def _checked(fields: Fields, mention: Mention) -> Mention:
    for role, (start, end) in (("head", mention.head), ("tail", mention.tail)):
        if not mention.text[start:end].strip():
            raise fields.refused(
                role, f"is the range [{start}, {end}], which holds no word."
            )
    # Half of a surrogate pair is found where texts are read.
    Fields({"text": mention.text}, fields.place).text("text")
    return mention


def encode_mentions(
    tokenizer: Any, mentions: Sequence[Mention], max_length: int | None
) -> Encoded:
    """`[CLS] ... [unused1] head [unused2] ... [unused3] tail [unused4] ... [SEP]`.

    The places of the markers before head and tail are the two `marks` of a text. What
    is too long is cut at its end, with whatever entity lies there.

    Raises:
      ValueError: if the tokenizer has no such markers.
    """
    markers = _marker_ids(tokenizer)
    cuts = [_cuts(mention) for mention in mentions]
    pieces = [
        mention.text[start:end]
        for mention, order in zip(mentions, cuts, strict=True)
        for start, end in itertools.pairwise(
            [0, *(place for place, _ in order), len(mention.text)]
        )
    ]
    encoded = tokenizer(
        pieces, add_special_tokens=False, return_attention_mask=False, verbose=False
    )["input_ids"]
    width = len(MARKERS) + 1
    ids, marks = [], []
    for number, order in enumerate(cuts):
        mention_pieces = encoded[number * width : (number + 1) * width]
        row, places = [tokenizer.cls_token_id], [-1] * len(MARKERS)
        for piece, (_, marker) in zip(mention_pieces, order, strict=False):
            row += piece
            places[marker] = len(row)
            row.append(markers[marker])
        row += mention_pieces[-1]
        row = row[: None if max_length is None else max_length - 1]
        ids.append([*row, tokenizer.sep_token_id])
        marks.append([p if p < len(row) else -1 for p in (places[0], places[2])])
    return {"input_ids": ids, "marks": marks}


def _cuts(mention: Mention) -> list[tuple[int, int]]:
    """Where each marker goes, in order; of those at one place, ends come first."""
    places = [*mention.head, *mention.tail]
    return sorted(
        ((place, number) for number, place in enumerate(places)),
        key=lambda cut: (cut[0], cut[1] % 2 == 0),
    )


def _marker_ids(tokenizer: Any) -> list[int]:
    ids = tokenizer.convert_tokens_to_ids(list(MARKERS))
    missing = [
        marker
        for marker, number in zip(MARKERS, ids, strict=True)
        if number is None or number == tokenizer.unk_token_id
    ]
    if missing:
        raise ValueError(
            f"the tokenizer has no {', '.join(missing)} to mark entities by; take a"
            " model whose vocabulary has them."
        )
    return ids


MENTION = Form(
    name="mention",
    required=("text", "head", "tail"),
    read=read_mention,
    row=lambda m: {"text": m.text, "head": list(m.head), "tail": list(m.tail)},
    encode=encode_mentions,
    num_marks=2,
)


def relations(
    *,
    none: bool = False,
    none_logit: float = 0.0,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Classification of relations between two entities, or none of the above.

    Args:
      none: whether texts may hold none of a task's relations. The support set has no
        such text: the threshold is learned over many tasks (`heads.with_none`).
      none_logit: the initial logit of none.
      label_smoothing: as for `classification`.
      class_weights: as for `classification`.

    Returns:
      A `TaskType` whose targets are numbers of relations `[U]`, -1 for none.

    Raises:
      ValueError: as `classification`.

    Examples:
      >>> from metaflax import tasks
      >>> task = tasks.relations(none=True)
      >>> task.others, task.scores
      (('none of the above',), ('accuracy', 'none_precision', 'none_recall'))

    References:
      Baldini Soares et al., `Matching the Blanks: Distributional Similarity for
      Relation Learning <https://arxiv.org/abs/1906.03158>`_, 2019, entity markers; Gao
      et al., `FewRel 2.0 <https://arxiv.org/abs/1910.07124>`_, 2019, none of the above.
    """
    by_class = classification(
        label_smoothing=label_smoothing, class_weights=class_weights
    )
    marked = by_class._replace(
        form=MENTION, none_of_the_above=True, variants=False, on_disk=False
    )
    if not none:
        return marked
    return marked._replace(
        loss=_none_last(by_class.loss),
        metrics={
            "accuracy": _none_last(metrics.accuracy),
            "none_precision": _none_last(last_precision),
            "none_recall": _none_last(last_recall),
        },
        others=(NONE,),
        complete=functools.partial(heads.with_none, logit=none_logit),
    )


def _none_last(function):
    """Makes a loss or metric take the target -1 as the last class."""

    def of_outputs(outputs, targets, weights):
        last = outputs.logits.shape[-1] - 1
        return function(outputs, jnp.where(targets < 0, last, targets), weights)

    return of_outputs
