"""Tokenization of questions with overlapping windows of their contexts."""

from collections.abc import Sequence
from typing import Any

from metaflax.tasks._forms import Encoded
from metaflax.tasks._questions import Question

# [CLS] and two [SEP].
NUM_SPECIAL = 3
# A question takes at most one in so many of the other tokens.
QUESTION_SHARE = 3
# Room for a token of the question and two of the context.
SHORTEST = NUM_SPECIAL + QUESTION_SHARE
NOWHERE = (-1, -1)


def encode_questions(
    tokenizer: Any, texts: Sequence[Question], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] question [SEP] window of context [SEP]`, as many rows as it takes.

    Windows overlap by half, so that a passage of up to half a window is whole in one of
    them. Questions are cut to a third of the room, 168 tokens of 512; `num_read` and
    `totals` count what was cut. With `max_length` None a question is one row.

    `spans` are places in the context, -1 for tokens outside of it. An accent or a
    control character that the tokenizer drops belongs to the token before it, so that
    spans cover the characters as they were written.

    Raises:
      ValueError: if `max_length` leaves no room for question and context.
    """
    if max_length is not None and max_length < SHORTEST:
        raise ValueError(
            f"max_length is {max_length}, too few tokens for a question and a part of"
            f" its context; choose {SHORTEST} or more."
        )
    questions = _encodings(tokenizer, [text.question for text in texts])
    contexts = _encodings(tokenizer, [text.context for text in texts])
    first, separator = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    ids, types, spans, owners = [], [], [], []
    num_read, totals = [], []
    for owner, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        reach = _reach(context.offsets, texts[owner].context)
        totals.append(NUM_SPECIAL + len(question) + len(context))
        others = totals[-1] - len(question)
        if max_length is not None:
            room = max_length - NUM_SPECIAL
            question.truncate(room // QUESTION_SHARE)
            room -= len(question)
            context.truncate(room, stride=room // 2)
        num_read.append(others + len(question))
        opening = [*first, *question.ids, *separator]
        for window in (context, *context.overflowing):
            ids.append([*opening, *window.ids, *separator])
            types.append([0] * len(opening) + [1] * (len(window) + 1))
            offsets = [(start, reach[end]) for start, end in window.offsets]
            spans.append([NOWHERE] * len(opening) + offsets + [NOWHERE])
            owners.append(owner)
    return {
        "input_ids": ids,
        "token_type_ids": types,
        "spans": spans,
        "owners": owners,
        "num_read": num_read,
        "totals": totals,
    }


def _encodings(tokenizer: Any, texts: list[str]) -> Sequence[Any]:
    """Tokenizes each text alone, as encodings of the `tokenizers` library."""
    return tokenizer(
        texts,
        add_special_tokens=False,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        verbose=False,
    ).encodings


def _reach(offsets: Sequence[tuple[int, int]], text: str) -> dict[int, int]:
    """Maps each token's end to the end of the characters dropped behind it."""
    starts = {start for start, _ in offsets}
    reach = {}
    for _, end in offsets:
        last = end
        while last < len(text) and last not in starts and not text[last].isspace():
            last += 1
        reach[end] = last
    return reach
