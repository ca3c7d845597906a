"""Files of one word a line with its tag, as those of the CoNLL shared tasks."""

from collections.abc import Iterable, Iterator
from typing import Any

from metaflax.data.sources._decoding import Reading, decoded_lines

_DOCUMENT = "-DOCSTART-"


def conll_rows(
    stream: Iterable[bytes], name: str, reading: Reading
) -> Iterator[tuple[str, dict[str, Any]]]:
    r"""Yields the words and tags of each sentence; blank lines divide them.

    The first column is the word, the last one its tag. Columns are divided by tabs, or
    else by white space. Lines that begin a document are skipped, and so are comments:
    lines that begin with `#` and have another number of columns.

    Raises:
      ValueError: if a line has one column, or another number than those before.

    Examples:
      >>> lines = [b"In O\n", b"Rome B-city\n", b"\n", b"Hi O\n"]
      >>> for place, row in conll_rows(lines, "a.conll", Reading()):
      ...     print(place, row)
      a.conll:1 {'tokens': ['In', 'Rome'], 'label': ['O', 'B-city']}
      a.conll:4 {'tokens': ['Hi'], 'label': ['O']}
    """
    first, words, tags, num_columns = "", [], [], 0
    for place, line in decoded_lines(stream, name, reading.encoding):
        fields = _columns(line)
        if fields and fields[0] == _DOCUMENT:
            fields = []
        if not fields:
            if words:
                yield first, {"tokens": words, "label": tags}
            first, words, tags = "", [], []
            continue
        if fields[0][0] == "#" and len(fields) != (num_columns or 2):
            continue
        num_columns = num_columns or len(fields)
        if len(fields) < 2 or len(fields) != num_columns:
            raise ValueError(
                f"{place}: {len(fields)} columns where {max(num_columns, 2)} are"
                " expected; write a word and its tag on each line."
            )
        first = first or place
        words.append(fields[0])
        tags.append(fields[-1])
    if words:
        yield first, {"tokens": words, "label": tags}


def _columns(line: str) -> list[str]:
    if "\t" not in line:
        return line.split()
    fields = [field.strip() for field in line.split("\t")]
    return fields if any(fields) else []
