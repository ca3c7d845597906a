"""Lines of text of a stream of bytes, in any encoding."""

import codecs
import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from metaflax._wording import see

# Byte order marks; that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclasses.dataclass
class Reading:
    """Encoding of files, and notes collected while reading them.

    Attributes:
      encoding: encoding of texts; None for UTF-8, or what a byte order mark names.
      notes: sentences about what was left out or converted.
    """

    encoding: str | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise ValueError(
                f"unknown encoding {self.encoding!r}; take one of Python's, such as"
                " utf-8, utf-16, latin-1 or cp1252."
            ) from None


def marked_encoding(first: bytes) -> str | None:
    """Returns the encoding that a byte order mark names, other than UTF-8."""
    return next((name for mark, name in _MARKS.items() if first.startswith(mark)), None)


def decoded_lines(
    stream: Iterable[bytes], name: str, encoding: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yields (place, line with its line end) of a stream, without byte order mark.

    Args:
      stream: the lines, or other pieces, of a file.
      name: name of the file in messages.
      encoding: encoding; None for UTF-8, or what a byte order mark names.

    Raises:
      ValueError: if bytes are not in the encoding; the message names the line.
    """
    pieces = iter(stream)
    first = next(pieces, b"")
    encoding = encoding or marked_encoding(first) or "utf-8"
    pieces = itertools.chain([first] if first else [], pieces)
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return _utf8_lines(pieces, name)
    return _lines_of_pieces(pieces, name, encoding)


def _utf8_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    for number, raw in enumerate(lines, start=1):
        place = f"{name}:{number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{place}: not UTF-8 (byte {error.start + 1} of the line is"
                f" 0x{raw[error.start]:02x}); give its encoding, such as latin-1, or"
                f" save the file as UTF-8.{see('howto/csv_and_columns')}"
            ) from None
        yield place, line


def _lines_of_pieces(
    pieces: Iterable[bytes], name: str, encoding: str
) -> Iterator[tuple[str, str]]:
    """Decodes pieces whose ends may lie within a character."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, begun = 1, ""
    for piece, final in _with_end(pieces):
        try:
            begun += decoder.decode(piece, final)
        except UnicodeError as error:
            raise ValueError(
                f"{name}:{number}: not {encoding} ({error}); give the file's encoding."
            ) from None
        *lines, begun = begun.split("\n")
        for line in lines:
            yield f"{name}:{number}", line + "\n"
            number += 1
    if begun:
        yield f"{name}:{number}", begun


def _with_end(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for piece in pieces:
        yield piece, False
    yield b"", True
