"""Suggestion of unlabelled texts to label next, from a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from metaflax import target_kinds
from metaflax._wording import counted
from metaflax.data.sources._decoding import Reading
from metaflax.data.sources._input_texts import InputRow, read_input_rows
from metaflax.metrics import softened
from metaflax.workflows.inference._predict import rename_columns
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.inference._selection import Strategy, select
from metaflax.workflows.inference._support_file import (
    missing_support_note,
    read_support,
)


def suggest(
    directory: str | Path,
    texts: str | Path,
    number: int = 20,
    strategy: Strategy = "mix",
    *,
    column: str = "text",
    column_pair: str = "text_pair",
    format: str | None = None,
    encoding: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Suggests which texts of a pool to label next.

    Texts that the classifier learned from are left out, and a text that occurs several
    times counts once.

    Args:
      directory: a classifier with one label per text, as `adapt` writes it.
      texts: the pool: a file of unlabelled texts, as for `predict`.
      number: most texts to suggest.
      strategy: `uncertainty`, `margin`, `diversity` or their `mix`.
      column: column of texts.
      column_pair: column of second texts, for models of pairs.
      format: format of the pool (default: by the file's name).
      encoding: encoding of the pool.
      batch_size: number of texts of 32 tokens in one call of the network.
      seed: seed of k-means.

    Returns:
      A record of each suggested text, by decreasing score, and sentences about what was
      left out. A record holds all columns of the row, its number `row` in the pool
      (from 1), the `predicted` class, the `probabilities`, and the `score` by which the
      strategy preferred it, from 0 to 1.

    Raises:
      ValueError: if the directory holds no such classifier, or the pool no text.

    Examples:
      ::

        rows, notes = workflows.suggest("my_model", "pool.jsonl", 20)
        # [{"text": "is my parcel refundable", "row": 17, "predicted": "delivery",
        #   "probabilities": {"delivery": 0.52, "refund": 0.48}, "score": 0.96}, ...]

      >>> from metaflax import workflows
      >>> workflows.suggest("./absent", "pool.jsonl")
      Traceback (most recent call last):
        ...
      ValueError: there is no directory ./absent; check the path.

    References:
      Lewis and Gale, `A Sequential Algorithm for Training Text Classifiers
      <https://arxiv.org/abs/cmp-lg/9407020>`_, 1994, for uncertainty; Zhdanov,
      `Diverse mini-batch Active Learning <https://arxiv.org/abs/1901.05954>`_, 2019,
      for the mix.
    """
    predictor = Predictor(directory, batch_size)
    kind = target_kinds.of(predictor.task)
    if not kind.single_label or predictor.task.tokens is not None:
        raise ValueError(
            f"{directory} predicts {kind.noun}, and texts are suggested for classifiers"
            " with one label per text; name the directory of one."
        )
    reading = Reading(encoding)
    pool = read_input_rows(
        texts,
        form=predictor.form,
        column=column,
        column_pair=column_pair,
        format=format,
        reading=reading,
    )
    support = read_support(predictor.pretrained.directory, predictor.form)
    rows, counts = _candidates(pool, {row.text for row in support})
    if not rows:
        raise ValueError(f"{texts}: holds no text to suggest; give a larger pool.")
    features, logits = _outputs(predictor, [row.text for _, row in rows])
    shares = softened(logits / np.float32(predictor.temperature))
    selection = select(shares, features, number, strategy, seed=seed)
    renamed: dict[str, str] = {}
    records = []
    for selected in selection:
        place, row = rows[selected.row]
        fields = {"row": place, **selected.record(predictor.names, shares)}
        records.append({**rename_columns(row.columns, fields, renamed), **fields})
    unknown = "texts that the model learned from are not left out"
    return records, [
        *([] if support else [missing_support_note(Path(directory), unknown)]),
        *_notes(str(texts), counts, len(records), number),
        *(
            f"the column {name!r} of the texts is written as {new!r}."
            for name, new in renamed.items()
        ),
        *predictor.notes(),
        *reading.notes,
    ]


def _candidates(
    pool: Iterable[InputRow], labelled: set[Any]
) -> tuple[list[tuple[int, InputRow]], tuple[int, int]]:
    """Lists distinct unlabelled rows with their indices, and counts the others.

    The counts are those of rows in the support set and of repeated rows.
    """
    seen: set[Any] = set()
    rows, num_labelled, num_repeated = [], 0, 0
    for place, row in enumerate(pool, start=1):
        if row.text in labelled:
            num_labelled += 1
        elif row.text in seen:
            num_repeated += 1
        else:
            seen.add(row.text)
            rows.append((place, row))
    return rows, (num_labelled, num_repeated)


def _outputs(predictor: Predictor, texts: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Computes the features `[U, D]` and logits `[U, N]` of texts, in one pass."""
    tokenized = predictor.tokenize(texts)
    predictor.truncation.records(tokenized)  # Counted for the notes.
    features = predictor.features(tokenized)
    head = predictor.params[1]
    return features, features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def _notes(
    source: str, counts: tuple[int, int], written: int, number: int
) -> list[str]:
    num_labelled, num_repeated = counts
    notes = []
    if num_labelled:
        rows = counted(num_labelled, "text was", "texts were")
        notes.append(f"{source}: {rows} left out, as the model learned from them.")
    if num_repeated:
        rows = counted(num_repeated, "text repeats", "texts repeat")
        notes.append(f"{source}: {rows} an earlier one and counted once.")
    if written < number:
        texts = counted(written, "text")
        notes.append(f"{source}: {number} texts were asked for, and it has {texts}.")
    return notes
