"""Dialogue histories: reading and tokenizing."""

from collections.abc import Sequence
from typing import Any

from metaflax.tasks._fields import Fields
from metaflax.tasks._forms import Encoded, Form, keeping_the_end, tokenize

# Separator of turns for tokenizers without a separator token.
SEPARATOR = "\n"


def read_turns(fields: Fields) -> tuple[str, ...]:
    """Reads one turn, or a list of them, the oldest first.

    Raises:
      ValueError: if there is no turn, or one is empty.
    """
    held = fields.value("text")
    if not isinstance(held, list):
        return (fields.text("text"),)
    if not held:
        raise fields.refused("text", "is an empty list; give a turn at least.")
    column = fields.column("text")
    return tuple(Fields({column: turn}, fields.place).text(column) for turn in held)


def encode_turns(
    tokenizer: Any, dialogues: Sequence[Sequence[str]], max_length: int | None
) -> Encoded:
    """Tokenizes all turns, joined by a separator."""
    separator = tokenizer.sep_token or SEPARATOR
    texts = [separator.join(turns) for turns in dialogues]
    return tokenize(tokenizer, texts, max_length=max_length)


TURNS = Form(
    name="turns",
    required=("text",),
    read=read_turns,
    row=lambda turns: {"text": list(turns)},
    encode=keeping_the_end(encode_turns),
)
