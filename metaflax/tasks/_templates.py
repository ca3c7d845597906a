"""Prompt templates: how an example is written as a text for a generative model.

A template is data: a small TOML file, such as those in the folder `templates`.
"""

import dataclasses
import functools
import hashlib
import string
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaflax import _registry
from metaflax.tasks._forms import Encoded, Form

_SUFFIX = ".toml"
_FOLDER = Path(__file__).parent / "templates"
BUILT_IN = {path.stem: path for path in sorted(_FOLDER.glob(f"*{_SUFFIX}"))}
"""Files of the package's own templates, by name."""


@dataclasses.dataclass(frozen=True)
class Template:
    r"""A prompt template.

    Placeholders in braces are columns of an example by role, such as `{text}` and
    `{text_pair}`, its text to generate `{target}`, or its class or choice `{label}`.

    Attributes:
      prompt: part of an example that the model is given.
      target: part that the model predicts. A template of classes is direct if this
        holds the label, and a channel template if it holds the text, given the label.
      end: what ends the target, one token of the tokenizer; None for the token that
        ends the model's texts.
      content_free: texts without content, in the place of all columns but the label,
        whose predictions calibration evens out.
      mean: whether the score of a choice is the mean log-probability of its tokens, so
        that long ones are not worse, or else their sum.
      labels: what is written for the name of a class; by default the name itself.

    Raises:
      ValueError: for a placeholder that is no name, or a part without one.

    Examples:
      >>> from metaflax.tasks import Template
      >>> template = Template("Text: {text}\nTopic:", " {label}")
      >>> template.is_channel, template.parts("prompt")
      (False, [('Text:', None), (' ', 'text'), ('\nTopic:', None)])

    References:
      Min et al., `Noisy Channel Language Model Prompting for Few-Shot Text
      Classification <https://arxiv.org/abs/2108.04106>`_, 2022, for channels; Zhao et
      al., `Calibrate Before Use <https://arxiv.org/abs/2102.09690>`_, 2021, for texts
      without content.
    """

    prompt: str
    target: str
    end: str | None = None
    content_free: tuple[str, ...] = ("N/A",)
    mean: bool = True
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("prompt", "target"):
            if not self._fields(name):
                raise ValueError(
                    f"the {name} of the template has no placeholder, such as {{text}}:"
                    f" {getattr(self, name)!r}."
                )
        if not all(isinstance(text, str) for text in self.content_free):
            raise ValueError("content_free of a template is a list of texts.")

    @property
    def is_channel(self) -> bool:
        """Whether the text is predicted from the label."""
        return "label" in self._fields("prompt")

    def parts(self, name: str) -> list[tuple[str, str | None]]:
        """Splits `prompt` or `target` into literals and placeholders.

        Returns:
          Pairs: a literal and None, or the text before a value and its role. Spaces
          go to the value, as they do in the tokens of running text.
        """
        parts: list[tuple[str, str | None]] = []
        for literal, role, _, _ in string.Formatter().parse(getattr(self, name)):
            if role is None:
                parts.append((literal, None))
                continue
            bare = literal.rstrip(" ")
            if bare:
                parts.append((bare, None))
            parts.append((literal[len(bare) :], role))
        return parts

    def record(self) -> dict[str, Any]:
        """Returns the content of a file of the template."""
        content = dataclasses.asdict(self) | {"content_free": list(self.content_free)}
        return {name: value for name, value in content.items() if value is not None}

    def words(self, label: str) -> str:
        """Returns what is written for the name of a class, or for a choice."""
        return self.labels.get(label, label)

    @functools.cached_property
    def digest(self) -> str:
        """Returns a short digest of the content."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def _fields(self, name: str) -> list[str]:
        try:
            parsed = list(string.Formatter().parse(getattr(self, name)))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the {name} of the template is {getattr(self, name)!r}, which is no"
                f" text with placeholders ({error})."
            ) from None
        roles = [(role, form, how) for _, role, form, how in parsed if role is not None]
        for role, form, how in roles:
            if not role.isidentifier() or form or how:
                raise ValueError(
                    f"the {name} of the template has the placeholder {{{role}}}; give"
                    " the name of a column alone, such as {text}."
                )
        return [role for role, _, _ in roles]

    def roles(self) -> set[str]:
        """Returns the roles of columns that the template writes."""
        return {*self._fields("prompt"), *self._fields("target")}


def template_of(content: Mapping[str, Any], place: str) -> Template:
    """Makes a template of the content of a file.

    Raises:
      ValueError: with the place, for unknown or missing fields.
    """
    known = [field.name for field in dataclasses.fields(Template)]
    if unknown := sorted(set(content) - set(known)):
        raise ValueError(
            f"{place}: a template has no field {unknown[0]!r}; its fields are"
            f" {', '.join(known)}."
        )
    if missing := [name for name in known[:2] if name not in content]:
        raise ValueError(f"{place}: the template has no {missing[0]}; add it.")
    fields = dict(content)
    if "content_free" in fields:
        fields["content_free"] = tuple(fields["content_free"])
    try:
        return Template(**fields)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def read_template(name: str | Path) -> Template:
    """Reads a template.

    Args:
      name: name of a built-in template, a file that ends in `.toml`, or the import path
        `package.module:attribute` of a `Template`.

    Raises:
      ValueError: if there is none, or it is no template.

    Examples:
      >>> from metaflax import tasks
      >>> tasks.read_template("summarization").target
      ' {target}'
    """
    if str(name) not in BUILT_IN and str(name).endswith(_SUFFIX):
        path = Path(name).expanduser()
    else:
        template: Any = _registry.resolve("template", BUILT_IN, str(name))
        if isinstance(template, Template):
            return template
        path = template
    if not isinstance(path, Path):
        raise ValueError(f"{name} is a {type(path).__name__}, and no tasks.Template.")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: no TOML file ({error}).") from None
    return template_of(content, str(path))


def written_form(form: Form, template: Template) -> Form:
    """Returns the form whose inputs are the prompts of a template.

    Too long a prompt is cut in its values, the longest first: texts at their end,
    histories of a dialogue at their beginning.
    """

    def encode(tokenizer: Any, texts: Sequence[Any], max_length: int | None) -> Encoded:
        rows = [form.row(text) for text in texts]
        parts = template.parts("prompt")
        return {"input_ids": encode_parts(tokenizer, rows, parts, max_length)}

    return form._replace(
        name=f"{form.name} in template {template.digest}",
        encode=encode,
        windows=False,
        encode_windows=None,
    )


def encode_parts(
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
    parts: Sequence[tuple[str, str | None]],
    max_length: int | None,
) -> list[list[int]]:
    """Tokenizes literals and values, and concatenates them for each row.

    Args:
      tokenizer: a Hugging Face tokenizer.
      rows: values by role.
      parts: result of `Template.parts`.
      max_length: most tokens of a row, to which its values are cut; None for any.

    Raises:
      ValueError: if a row lacks a value, or `max_length` has no room for the literals
        and a token of each value.
    """
    literals = [text for text, role in parts if role is None]
    fields = [(text, role) for text, role in parts if role is not None]
    values = [space + value_text(row, role) for row in rows for space, role in fields]
    tokens = iter(plain_tokens(tokenizer, [*literals, *values]))
    of_literals = [next(tokens) for _ in literals]
    room = None
    if max_length is not None:
        room = max_length - sum(map(len, of_literals))
        if room < len(fields):
            raise ValueError(
                f"max_length is {max_length}, too few tokens for the template; choose"
                f" {max_length - room + len(fields)} or more."
            )
    encoded = []
    for row in rows:
        cut = cut_values([next(tokens) for _ in fields], row, fields, room)
        written, kept = iter(of_literals), iter(cut)
        each = [next(written) if role is None else next(kept) for _, role in parts]
        encoded.append([token for piece in each for token in piece])
    return encoded


def cut_values(
    pieces: list[list[int]],
    row: Mapping[str, Any],
    fields: Sequence[tuple[str, str]],
    room: int | None,
) -> list[list[int]]:
    """Cuts values to `room` tokens in all, the longest first."""
    if room is None:
        return pieces
    most = _largest_length([len(piece) for piece in pieces], room)
    return [
        piece[:most] if isinstance(row[role], str) else piece[-most:]
        for piece, (_, role) in zip(pieces, fields, strict=True)
    ]


def _largest_length(lengths: Sequence[int], room: int) -> int:
    """Returns the largest length to which all may be cut so that they fit.

    Examples:
      >>> _largest_length([9, 2, 5], 12)
      5
    """
    most = max(lengths, default=1)
    while most > 1 and sum(min(length, most) for length in lengths) > room:
        most -= 1
    return most


def value_text(row: Mapping[str, Any], role: str) -> str:
    if role not in row:
        raise ValueError(
            f"the template writes {{{role}}}, and an example has"
            f" {', '.join(f'{{{name}}}' for name in row)}; take another template."
        )
    value = row[role]
    return value if isinstance(value, str) else "\n".join(map(str, value))


def plain_tokens(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokenizes texts without special tokens; an empty text has no tokens."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        verbose=False,
    )
    return encoded["input_ids"]
