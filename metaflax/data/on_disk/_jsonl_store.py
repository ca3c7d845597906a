"""JSONL files of labelled texts from a stream, which can be read only once."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaflax import tasks
from metaflax._files import atomic_write


def store_texts(
    rows: Iterable[Mapping[str, Any]],
    path: str | Path,
    *,
    text: str = "text",
    label: str = "label",
) -> Path:
    """Writes the texts and labels of a stream to a JSONL file, row by row.

    The file is written atomically, for `index_labels` or `read`. If it exists already,
    nothing is read or written.

    Args:
      rows: values by column, such as those of a streamed data set of `datasets`.
      path: the file, which ends in `.jsonl`.
      text: column of texts.
      label: column of labels: a name, a number, or a list of them.

    Returns:
      The path. The columns there are `text` and `label`.

    Raises:
      ValueError: if a column is missing, or a text or label is empty, with the number
        of the row; if the path cannot be written.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import store_texts
      >>> import tempfile
      >>> from metaflax.data import read
      >>> rows = ({"what": f"pet {n}", "kind": n % 2} for n in range(3))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.jsonl"
      ...     read(store_texts(rows, path, text="what", label="kind")).labels
      (('0',), ('1',), ('0',))
    """
    path = Path(path)
    if path.suffix.lower() != ".jsonl":
        raise ValueError(f"{path}: the output is JSONL; end its name in .jsonl.")
    if path.exists():
        return path
    columns = {"text": text, "label": label}
    with atomic_write(path) as file:
        for number, row in enumerate(rows, start=1):
            fields = tasks.Fields(row, f"row {number}", columns)
            names = fields.names("label")
            kept = {
                "text": fields.text("text"),
                "label": names[0] if len(names) == 1 else names,
            }
            file.write(json.dumps(kept, ensure_ascii=False) + "\n")
    return path
