"""Forms: what a model reads of an example, in a file, in memory and as tokens.

In memory a text is whatever its form's `read` makes, any value that can be hashed, so
that the rest of the package keeps, splits and draws all of them alike.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from metaflax.tasks._fields import Fields

Encoded = dict[str, list[Any]]
EncodeFn: TypeAlias = Callable[[Any, Sequence[Any], int | None], Encoded]


class Form(NamedTuple):
    """What a model reads of one example.

    Attributes:
      name: tells the form from others.
      required: the roles of columns without which there is nothing to read.
      read: `text = read(fields)`, from the row of a file.
      row: `{role: value} = row(text)`, from which `read` makes the same text.
      encode: `encoded = encode(tokenizer, texts, max_length)`, with `input_ids`, a
        list for each text, of at most `max_length` where that is no None. Where
        there are such, `token_type_ids` says the segment of each token, `marks`
        for each text the places of its tokens that stand for parts of it, -1 for
        a part that was cut off, and `spans` for each token the characters
        `(start, end)` that it stands for, -1 where it stands for none.
      windows: whether a text longer than `max_length` becomes several rows instead of
        being cut; `owners` then says of which of `texts` each row is, rising.
    """

    name: str
    required: tuple[str, ...]
    read: Callable[[Fields], Any]
    row: Callable[[Any], dict[str, Any]]
    encode: EncodeFn
    windows: bool = False


def encode_texts(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """`[CLS] text [SEP]`, cut at its end."""
    return called(tokenizer, list(texts), max_length=max_length)


def encode_said(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """`text` alone, cut at its end: what begins and ends it is the model's affair."""
    return called(
        tokenizer, list(texts), max_length=max_length, add_special_tokens=False
    )


def keeping_the_end(encode: EncodeFn) -> EncodeFn:
    """The same, with texts that are too long cut at their beginning."""

    def of_ends(tokenizer: Any, texts: Sequence[Any], max_length: int | None):
        side = tokenizer.truncation_side
        tokenizer.truncation_side = "left"
        try:
            return encode(tokenizer, texts, max_length)
        finally:
            tokenizer.truncation_side = side

    return of_ends


def called(tokenizer: Any, *columns: list[str], max_length: int | None, **kwargs: Any):
    """What a Hugging Face tokenizer says, the longest of several texts cut first."""
    truncation = "longest_first" if max_length is not None else False
    return dict(
        tokenizer(
            *columns,
            padding=False,
            truncation=truncation,
            max_length=max_length,
            return_attention_mask=False,
            verbose=False,  # Longer texts are dealt with by whoever calls.
            **kwargs,
        )
    )


TEXT = Form(
    name="text",
    required=("text",),
    read=lambda fields: fields.text("text"),
    row=lambda text: {"text": text},
    encode=encode_texts,
)

# What a language model says.
SAID = TEXT._replace(name="said", encode=encode_said)

# What was said so far, and is to go on.
BEGUN = SAID._replace(name="begun", encode=keeping_the_end(encode_said))
