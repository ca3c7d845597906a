"""Forms of inputs: how they are read from a file and tokenized.

In memory an input is the value that its form's `read` returns. It is hashable, so that
the rest of the package keeps, splits and draws all forms in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from metaflax import models
from metaflax.tasks._fields import Fields

Encoded = dict[str, list[Any]]
# The pair encoding that all forms have.
ONE_SEQUENCE = "one_sequence"
EncodeFn: TypeAlias = Callable[[Any, Sequence[Any], int | None], Encoded]


class Form(NamedTuple):
    """Form of the input of an example.

    Attributes:
      name: identifies the form.
      required: the roles of columns that a row must have.
      read: `text = read(fields)`, from the row of a file.
      row: `{role: value} = row(text)`, from which `read` makes the same text.
      encode: `encoded = encode(tokenizer, texts, max_length)`, with `input_ids`, a
        list for each text, of at most `max_length` where that is no None. Where
        there are such, `token_type_ids` says the segment of each token, `marks`
        for each text the places of its tokens that stand for parts of it, -1 for
        a part that was cut off, and `spans` for each token the characters
        `(start, end)` that it stands for, -1 where it stands for none. `parts` are the
        lengths of the sequences that make up a row, each of at most `max_length`.
      windows: whether a text longer than `max_length` becomes several rows instead of
        being cut; `owners` then says of which of `texts` each row is, ascending. If
        such a form cuts texts all the same, `num_read` and `totals` count the tokens of
        each text that its rows hold, and that it has.
      encode_windows: as `encode`, of texts as overlapping windows; None for a form
        whose texts are not to be read in windows.
      encoder: `encoder = encoder(encoder)`, makes an encoder of such rows from one of
        single sequences.
      num_marks: number of `marks` of a row, the least where rows differ.
      row_length: `row_length(max_length)`, most tokens of a row, of each of its `parts`
        where there are such.
      pair_encodings: forms of the same inputs by the name of a pair encoding, empty for
        inputs that are no pairs of texts or of entities.
      of_sentences: the pair encoding that suits an encoder of single sentences, which
        was not trained on two texts in one sequence; only for inputs with all columns
        that it requires.
      of_name: `text = of_name(name)`, makes an input of the name of a class; None where
        a name by itself is no such input.

    Examples:
      >>> from metaflax import tasks
      >>> lowercase = tasks.TEXT._replace(
      ...     name="lowercase text", read=lambda fields: fields.text("text").lower()
      ... )
      >>> lowercase.read(tasks.Fields({"text": "It RAINS."}, "a.jsonl:1"))
      'it rains.'
    """

    name: str
    required: tuple[str, ...]
    read: Callable[[Fields], Any]
    row: Callable[[Any], dict[str, Any]]
    encode: EncodeFn
    windows: bool = False
    encode_windows: EncodeFn | None = None
    encoder: Callable[[models.Encoder], models.Encoder] = lambda encoder: encoder
    num_marks: int = 0
    row_length: Callable[[int], int] = lambda max_length: max_length
    pair_encodings: Mapping[str, "Form"] = MappingProxyType({})
    of_sentences: str = ONE_SEQUENCE
    of_name: Callable[[str], Any] | None = None

    def encoded_as(self, pair_encoding: str) -> "Form":
        """Returns the form whose pairs are encoded in another way.

        Raises:
          ValueError: if inputs of this form are no pairs.
        """
        if pair_encoding == ONE_SEQUENCE:
            return self
        if pair_encoding not in self.pair_encodings:
            raise ValueError(
                f"pair_encoding is {pair_encoding!r}, and inputs of the form"
                f" {self.name!r} are no pairs of texts; leave it out, or take a task"
                " type on pairs, such as pair_classification."
                if not self.pair_encodings
                else f"pair_encoding is {pair_encoding!r}, and inputs of the form"
                f" {self.name!r} are encoded as one_sequence or"
                f" {', '.join(self.pair_encodings)}."
            )
        return self.pair_encodings[pair_encoding]

    def in_windows(self) -> "Form":
        """Returns the form whose long texts become overlapping windows.

        Raises:
          ValueError: if texts of this form cannot be read in windows.
        """
        if self.encode_windows is None:
            raise ValueError(
                f"inputs of the form {self.name!r} cannot be read in windows, only"
                " single texts can; leave the windows out."
            )
        name = f"{self.name} in windows"
        return self._replace(name=name, encode=self.encode_windows, windows=True)


def encode_texts(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] text [SEP]`, cut at its end."""
    return tokenize(tokenizer, list(texts), max_length=max_length)


def encode_text_windows(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """Encodes `[CLS] window [SEP]`, as many rows as it takes; windows overlap by half.

    Raises:
      ValueError: if `max_length` leaves no room for two tokens of a text.
    """
    if max_length is None:
        return encode_texts(tokenizer, texts, None)
    room = max_length - tokenizer.num_special_tokens_to_add()
    if room < 2:
        raise ValueError(
            f"max_length is {max_length}, too few tokens for windows; choose"
            f" {max_length - room + 2} or more."
        )
    encoded = tokenize(
        tokenizer,
        list(texts),
        max_length=max_length,
        stride=room // 2,
        return_overflowing_tokens=True,
    )
    encoded["owners"] = encoded.pop("overflow_to_sample_mapping")
    return encoded


def encode_target(
    tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> Encoded:
    """Encodes `text` alone, cut at its end; the model adds begin and end tokens."""
    return tokenize(
        tokenizer, list(texts), max_length=max_length, add_special_tokens=False
    )


def keeping_the_end(encode: EncodeFn) -> EncodeFn:
    """Makes `encode` cut texts that are too long at their beginning."""

    def of_ends(tokenizer: Any, texts: Sequence[Any], max_length: int | None):
        side = tokenizer.truncation_side
        tokenizer.truncation_side = "left"
        try:
            return encode(tokenizer, texts, max_length)
        finally:
            tokenizer.truncation_side = side

    return of_ends


def tokenize(
    tokenizer: Any, *columns: list[str], max_length: int | None, **kwargs: Any
):
    """Calls a Hugging Face tokenizer, cutting the longest of several texts first."""
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
    encode_windows=encode_text_windows,
    of_name=lambda name: name,
)

# Target texts of a generative language model.
TARGET_TEXT = TEXT._replace(
    name="target", encode=encode_target, encode_windows=None, of_name=None
)

# Beginnings of target texts, which a model continues.
TARGET_PREFIX = TARGET_TEXT._replace(
    name="target prefix", encode=keeping_the_end(encode_target)
)
