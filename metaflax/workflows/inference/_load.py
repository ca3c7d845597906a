"""Loading of the predictor for a directory."""

import dataclasses
import functools
import inspect
from pathlib import Path
from typing import Any

from metaflax.models.families._registry import family_of
from metaflax.models.generation._decoding import DecodingConfig
from metaflax.workflows.inference._choose import Chooser, is_chooser
from metaflax.workflows.inference._explain import Explainer
from metaflax.workflows.inference._generate import Generator
from metaflax.workflows.inference._predict import TextPredictor
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.inference._triples import TripleFinder
from metaflax.workflows.runs._run_directory import refuse_run


def load(
    directory: str | Path,
    batch_size: int = 32,
    *,
    explain: bool = False,
    relations: str | Path | None = None,
    **options: Any,
) -> TextPredictor:
    """Loads the predictor for the model in a directory.

    A sequence classifier, tagger or question answerer becomes a `workflows.Predictor`,
    a generative language model a `workflows.Generator`. All are functions from a list
    of any number of texts, or rows by column, to a list of records.

    Args:
      directory: output of `adapt`, or a model in Hugging Face's format.
      batch_size: number of texts per batch; for a classifier, of texts of 32 tokens:
        it batches more short texts, and fewer long ones.
      explain: whether to add explanations, by `workflows.Explainer`.
      relations: directory of a relation classifier, for the triples of
        `workflows.TripleFinder`; `directory` then holds a tagger of entities.
      **options: further arguments of the predictor's class, such as `num_nearest` of
        `workflows.Explainer`, and for a generative model the settings of
        `config.DecodingConfig` by name, such as `num_beams`.

    Returns:
      The predictor. `predictor.notes()` returns sentences about texts that were
      truncated or left out so far.

    Raises:
      ValueError: if the directory holds no model for predictions, or the predictor has
        no such option.

    Examples:
      ::

        import metaflax

        predictor = metaflax.load("my_model")
        predictor(["where is my parcel"])
        # [{"text": "where is my parcel", "label": "delivery",
        #   "probabilities": {"delivery": 0.93, "refund": 0.07}}]

        explainer = metaflax.load("my_model", explain=True, num_nearest=1)
        summarizer = metaflax.load("my_summarizer", num_beams=4)

      >>> import tempfile
      >>> import metaflax
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     metaflax.load(folder)
      Traceback (most recent call last):
        ...
      ValueError: ... has no config.json
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
    refuse_run(directory, "give it to `metaflax adapt --run`, which makes one of it")
    if explain and relations is not None:
        raise ValueError("triples cannot be explained; give explain or relations.")
    if relations is not None:
        kind, make = TripleFinder, functools.partial(TripleFinder, relations=relations)
    else:
        kind = make = _class_of(directory, explain)
    known, decoding = _options_of(kind)
    if unknown := [name for name in options if name not in known]:
        raise ValueError(
            f"{directory} is loaded as a {kind.__name__}, which has no option"
            f" {', '.join(unknown)}; its options are {', '.join(known) or 'none'}."
        )
    if settings := {name: options.pop(name) for name in decoding if name in options}:
        options["decoding"] = DecodingConfig(**settings)
    return make(directory, batch_size=batch_size, **options)


def _options_of(kind: type) -> tuple[list[str], list[str]]:
    """Lists the options of a predictor, and the subset of them for decoding."""
    known = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    if "decoding" not in known:
        return known, []
    decoding = [field.name for field in dataclasses.fields(DecodingConfig)]
    return [*known, *decoding], decoding


def _class_of(directory: str | Path, explain: bool) -> Any:
    if explain:
        return Explainer
    if is_chooser(directory):
        return Chooser
    is_generative = family_of(directory).generative
    return Generator if is_generative else Predictor
