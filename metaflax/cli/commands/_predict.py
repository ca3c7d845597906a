"""The command `predict`."""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TextIO

from rich.console import Console

import metaflax
from metaflax import _files
from metaflax.cli._options import Overrides
from metaflax.cli.commands._input import Input
from metaflax.cli.commands._machines import Flag
from metaflax.config._given import given
from metaflax.models.generation._decoding import DecodingConfig


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Classifiers: explanations of predictions."""

    explain: Flag = False
    """Add the attribution of each word and the nearest support texts."""
    nearest: int | None = None
    """Number of support texts with --explain (default: 3)."""
    explain_steps: int | None = None
    """Number of gradients per text with --explain, for exactness (default: 64)."""

    def options(self) -> dict[str, Any]:
        """Returns the options that are not None, for `metaflax.load`."""
        return given(num_nearest=self.nearest, num_steps=self.explain_steps)


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict with an adapted model, from a file or standard input.

    All columns of the texts are kept beside the predictions.
    """

    EXAMPLES: ClassVar = (
        "metaflax predict --model my_model --texts new.txt --out labels.jsonl",
        "tail -f requests.log | metaflax predict --model my_model",
        "metaflax predict --model my_model --texts new.csv --column body --reject 0.05",
    )
    PAGE: ClassVar = "howto/out_of_scope"

    model: Path
    """Directory that `adapt` wrote, or a sequence classifier or generative model in
    Hugging Face's format."""
    relations: Path | None = None
    """Directory of a relation classifier, to add triples to the entities of --model."""
    texts: str = "-"
    """File of texts: one per line, JSONL, CSV or Parquet; - for standard input."""
    out: str = "-"
    """File or pipe of predictions to write; - for standard output."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """Format of the predictions."""
    batch_size: int = 32
    """Number of texts of a batch. Classifiers sort texts by length, and take more of
    texts of fewer than 32 tokens in a batch and fewer of longer ones."""
    windows: Literal["mean", "max"] | None = None
    """Classifiers of single texts: read a text that is too long in windows, which
    overlap by half, and take the mean or the largest of their logits (default:
    truncate it, as the field `truncated` tells)."""
    reject: float | None = None
    """Classifiers adapted from a run: share of the texts of known classes that may be
    rejected; a text gets the label null where its confidence is below the threshold
    fitted for that share on meta-validation (default: none is rejected)."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Classifiers: type of the factors of matrix products; bfloat16 is faster on CPUs
    that multiply it and on accelerators, and changes probabilities in the third digit
    (default: float32)."""
    max_new_tokens: int | None = None
    """Generative models: largest number of generated tokens (default: that of
    training)."""
    decoding: Annotated[Mapping[str, Any], Overrides(DecodingConfig)] = (
        dataclasses.field(default_factory=dict)
    )
    explanation: Explanation = dataclasses.field(default_factory=Explanation)
    input: Input = dataclasses.field(default_factory=Input)

    def execute(self, console: Console) -> None:
        """Writes a prediction for each text."""
        del console  # Standard output is for predictions.
        from metaflax.data.sources._decoding import Reading
        from metaflax.data.sources._input_texts import read_input_rows
        from metaflax.workflows.inference._predict import predict_rows

        predictor = metaflax.load(
            self.model,
            self.batch_size,
            explain=self.explanation.explain,
            relations=self.relations,
            **given(
                windows=self.windows,
                reject=self.reject,
                dtype=self.dtype,
                max_new=self.max_new_tokens,
            ),
            **self.decoding,
            **self.explanation.options(),
        )
        reading = Reading(self.input.encoding)
        rows = read_input_rows(
            sys.stdin if self.texts == "-" else self.texts,
            form=predictor.form,
            column=self.input.column,
            column_pair=self.input.column_pair,
            format=self.input.input_format,
            reading=reading,
        )

        def write(file: TextIO) -> None:
            errors = Console(stderr=True, highlight=False, soft_wrap=True)
            note = functools.partial(errors.print, markup=False)
            predict_rows(predictor, rows, file, format=self.format, note=note)
            for sentence in reading.notes:
                note(sentence)

        if self.out == "-":
            write(sys.stdout)
            return
        with _files.atomic_write(self.out) as file:
            write(file)
