"""Data augmentation: variants of labelled texts with some words replaced."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import data, tasks
from metaflax._files import atomic_write
from metaflax.reporting._progress import counting
from metaflax.workflows.data_preparation._jsonl_output import check_new
from metaflax.workflows.data_preparation._variants import (
    Replacing,
    has_words,
    variants_of,
)
from metaflax.workflows.data_preparation._word_filler import WordFiller
from metaflax.workflows.runs._console import console_or_quiet

COLUMN = "variants"
# Columns of tasks whose labels depend on more than the text.
PARTS = ("text_pair", "tokens", "head", "tail", "context", "target")
# Number of texts per batch of variants.
CHUNK = 512


def augment(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    text: str = "text",
    split: str | None = None,
    replacing: Replacing | None = None,
) -> int:
    """Writes labelled texts with variants of each in a column `variants`.

    For each variant a random share of the text's words is masked, and the masked
    language model samples another word for each mask independently, in one forward
    pass per variant. The rest of the text stays the same. A text has K distinct
    variants, or fewer where no more were sampled; a text without words or with special
    tokens has none. The same arguments write the same file, which is written whole or
    not at all.

    Args:
      source: labelled texts, input of `data.read`.
      model: directory or hub name of an encoder with an output layer for masked words,
        such as the folder `model` of a run of `pretrain`.
      out: the JSONL file to write, which must not exist.
      console: where progress goes; None for nowhere.
      text: column of texts.
      split: split of a hub data set or saved directory to read.
      replacing: numbers of variants and words, and sampling.

    Returns:
      The number of variants.

    Raises:
      ValueError: for an invalid source, model or setting, and if no text has a word to
        replace, before anything is written.

    Examples:
      >>> from metaflax import workflows
      >>> replacing = workflows.Replacing(variants=0)
      >>> workflows.augment("pets.csv", "minilm", "more.jsonl", replacing=replacing)
      Traceback (most recent call last):
        ...
      ValueError: variants is 0; give 1 or more.

    References:
      Wu et al., `Conditional BERT Contextual Augmentation
      <https://arxiv.org/abs/1812.06705>`_, 2018, and Kumar et al., `Data Augmentation
      using Pre-trained Transformer Models <https://arxiv.org/abs/2003.02245>`_, 2020.
      Departures: the model is not conditioned on the label; the masked word is never
      sampled; and a word of several pieces is replaced by a word of one token.
    """
    console = console_or_quiet(console)
    replacing = replacing or Replacing()
    replacing.check()
    target = Path(out).expanduser()
    check_new(target)
    texts, rows = _read(source, text, split)
    filler = WordFiller(model, replacing.most_masks, replacing.max_length)
    if not any(has_words(text, filler) for text in texts):
        raise ValueError(
            f"{source}: no text of column {text!r} has a word to replace; name the"
            " column of texts."
        )
    progress = counting(console, len(texts), doing="augmenting", unit="texts")
    with progress as done, atomic_write(target) as file:
        num_variants = num_without = 0
        for first in range(0, len(texts), CHUNK):
            chunk = texts[first : first + CHUNK]
            variants = variants_of(chunk, filler, replacing, first)
            for row, texts_of_row in zip(
                rows[first : first + CHUNK], variants, strict=True
            ):
                file.write(_line(row, texts_of_row))
                num_variants += len(texts_of_row)
                num_without += not texts_of_row
            done(len(chunk))
    without = f"; {num_without} texts have none" if num_without else ""
    console.print(
        f"{num_variants} variants of {len(texts)} texts{without}: {target}",
        markup=False,
        soft_wrap=True,
    )
    return num_variants


def _read(
    source: str | Path, column: str, split: str | None
) -> tuple[list[str], list[dict[str, Any]]]:
    texts, rows = [], []
    for place, row in data.read_rows(source, split=split):
        fields = tasks.Fields(row, place, {"text": column})
        texts.append(fields.text("text"))
        _check_alone(row, place, column)
        rows.append(row)
    if not texts:
        raise ValueError(f"{source}: holds no examples; give at least one row.")
    return texts, rows


def _check_alone(row: dict[str, Any], place: str, column: str) -> None:
    """Refuses a row whose label depends on particular words or on another text."""
    if COLUMN in row:
        raise ValueError(
            f"{place}: has a column {COLUMN!r} already; augment a file without."
        )
    labels = row.get("label")
    spans = isinstance(labels, list) and any(
        isinstance(x, (dict, list)) for x in labels
    )
    parts = [name for name in PARTS if name in row and name != column]
    if spans or parts:
        raise ValueError(
            f"{place}: has {'spans as label' if spans else f'a column {parts[0]!r}'},"
            " and words are replaced in texts that stand alone with their labels; leave"
            " it out if it means something else."
        )


def _line(row: dict[str, Any], variants: list[str]) -> str:
    try:
        return json.dumps({**row, COLUMN: variants}, ensure_ascii=False) + "\n"
    except TypeError as error:
        raise ValueError(
            f"a row holds what JSON cannot ({error}); leave that column out."
        ) from error
