"""Reading of labelled examples."""

import dataclasses
from collections.abc import Hashable
from pathlib import Path

from metaflax import tasks
from metaflax.data.sources import _equal_texts, _remarks
from metaflax.data.sources._decoding import Reading
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._sources import rows_of
from metaflax.tasks._base import GoldLabel


def read(
    source: str | Path,
    *,
    task: tasks.TaskType | None = None,
    text: str = "text",
    text_pair: str = "text_pair",
    label: str = "label",
    target: str = "target",
    domain: str | None = None,
    id: str | None = None,
    variants: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    unlabelled: str = "error",
) -> Examples:
    r"""Loads labelled examples.

    Args:
      source: a file of JSONL, JSON (an array of objects, or an object that holds one),
        CSV, TSV, CoNLL columns or Parquet, perhaps compressed by gzip, bzip2 or xz, or
        several of them by a pattern such as `folder/*.jsonl` or as a folder; a folder
        with a sub-folder of `.txt` files for each class; a directory written by
        `datasets`' `save_to_disk`; or the name of a data set on the Hugging Face hub
        (`owner/name`, or `owner/name:config`).
      task: makes inputs and targets of a row; by default `tasks.classification()`, a
        text and its labels.
      text: column of texts.
      text_pair: column of second texts, for tasks on pairs.
      label: column of labels: a name, a number, or a list of them where a text has
        several, which a string may hold as JSON.
      target: column of target texts, for generative tasks.
      domain: column of domains, if any.
      id: column of names of examples, if any.
      variants: column of lists of alternatives to the text, perhaps empty, if any; for
        tasks whose input is one text and whose targets are not its parts.
      split: split of a hub data set, a saved directory or a folder, whose file or
        sub-folder of this name is read.
      label_separator: separator of several labels in one string; without it a string
        is one label.
      encoding: encoding of text files; None for UTF-8, or UTF-16 or UTF-32 where a byte
        order mark names it.
      unlabelled: `error` raises for a row whose list of labels is empty, `drop` leaves
        it out and counts it in `num_unlabelled`.

    Returns:
      The examples, in the order of the source. Their `notes` describe labels written
      in several ways, labels that look alike, texts that occur several times, and
      what was converted or left out.

    Raises:
      ValueError: if the source is missing, empty or malformed, a column is unknown, a
        text or label is empty, or the task takes no variants; the message names file
        and line.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import read
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("text,label\nit barks,dog\nit purrs,cat\n")
      ...     read(path).label_names
      ('cat', 'dog')
    """
    if unlabelled not in ("error", "drop"):
        raise ValueError(f"unlabelled is {unlabelled!r}; it is 'error' or 'drop'.")
    task = task or tasks.classification()
    columns = {"text": text, "text_pair": text_pair, "label": label, "target": target}
    columns |= {"domain": domain} if domain else {}
    columns |= {"id": id} if id else {}
    if variants:
        _check_variants(task)
        columns["variants"] = variants
    texts: list[Hashable] = []
    gold: list[GoldLabel] = []
    names: dict[str, list[str]] = {"domain": [], "id": []}
    others: list[tuple[str, ...]] = []
    num_unlabelled = 0
    spellings: dict[str, set[str]] = {}
    reading, remarks = Reading(encoding), _remarks.Remarks()
    for place, row in rows_of(source, split, reading):
        fields = tasks.Fields(row, place, columns, label_separator, spellings)
        if unlabelled == "drop" and not fields.items("label"):
            num_unlabelled += 1
            continue
        texts.append(task.form.read(fields))
        gold.append(task.gold_label(fields))
        remarks.add(place, gold[-1].remarks)
        for role in set(names) & set(columns):
            names[role].append(fields.name(role))
        if variants:
            others.append(fields.texts("variants"))
    if not texts:
        raise ValueError(f"{source}: holds no examples; give at least one row.")
    targets = tuple(one.target for one in gold)
    examples = Examples(
        name=str(source) if split is None else f"{source}[{split}]",
        texts=tuple(texts),
        labels=tuple(one.labels for one in gold),
        targets=None if None in targets else targets,
        domains=tuple(names["domain"]) if domain else None,
        ids=tuple(names["id"]) if id else None,
        num_unlabelled=num_unlabelled,
        variants=tuple(others) if variants else None,
    )
    notes = [*remarks.sentences(), *_look_alikes(examples, spellings)]
    notes = [f"{examples.name}: {note}" for note in notes]
    return dataclasses.replace(examples, notes=(*reading.notes, *notes))


def _look_alikes(examples: Examples, spellings: dict[str, set[str]]) -> list[str]:
    """Describes labels that look alike and texts that occur several times."""
    texts, labels = examples.texts, examples.labels
    return [
        *_equal_texts.label_notes(examples.label_names, spellings),
        *_equal_texts.duplicate_notes(texts, labels, examples.groups),
    ]


def _check_variants(task: tasks.TaskType) -> None:
    if task.form is not tasks.TEXT or task.tokens or task.texts:
        raise ValueError(
            "variants are alternatives to a single text with labels; the inputs or"
            " targets of this task type are others."
        )
