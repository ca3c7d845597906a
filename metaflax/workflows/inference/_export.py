"""Export of meta-trained and adapted models to the formats of other libraries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from metaflax._files import check_absent
from metaflax.models.pretrained._sentence_transformers import sentence_files
from metaflax.workflows.inference._graphs import export_graph
from metaflax.workflows.inference._model_card import CARD, encoder_card
from metaflax.workflows.inference._saved_model import generative_purpose
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._run_directory import refuse_run
from metaflax.workflows.runs._trained import load_trained

ExportFormat: TypeAlias = Literal["hf", "sentence-transformers", "stablehlo", "onnx"]
SENTENCES = "sentence-transformers"


def export(source: str | Path, out: str | Path, format: ExportFormat = "hf") -> Path:
    """Writes a model in the format of another library.

    `hf` writes the encoder or generative model of a run as it was meta-trained. Unlike
    the output of `adapt` it may be trained further, with any output layer: as the model
    of another run, or of fine-tuning. The config of that run sets the pooling.

    `sentence-transformers` writes the encoder of a run with its pooling, and layers
    that centre features and scale them to unit length where they are standardised, so
    that `SentenceTransformer(out).encode` gives the same features (up to the epsilon of
    the variance, which that library does not add).

    `stablehlo` and `onnx` write an adapted model, encoder and output layer, as a graph
    from tokens to logits and probabilities, with symbolic numbers of texts and tokens.

    Args:
      source: a finished run, or an adapted directory for the graphs.
      out: the directory to write.
      format: format to write.

    Returns:
      The directory.

    Raises:
      ValueError: if `out` exists, the source does not suit the format, the format has
        no place for its pooling or parts of its encoder, or the outputs of a graph
        differ.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.export(folder, f"{folder}/onnx", "onnx")
      Traceback (most recent call last):
        ...
      ValueError: ... has no config.json
    """
    target = Path(out).expanduser()
    check_absent(target)
    if format not in ("hf", SENTENCES):
        refuse_run(source, f"adapt it to a task first, and export that to {format}")
        export_graph(source, target, format)
        return target
    trained = load_trained(source)
    model, params = trained.model, trained.params["encoder"]
    sentences = format == SENTENCES
    card = encoder_card(
        target.name, trained.config, Path(source).expanduser(), sentences=sentences
    )
    if sentences:
        save_sentences(target, model, params, notes={CARD: card})
    else:
        generative = model.family.generative
        purpose = generative_purpose(trained.config) if generative else None
        model.save(target, params, purpose=purpose, notes={CARD: card})
    return target


def save_sentences(
    target: Path,
    model: LoadedModel,
    params: Any,
    *,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes an encoder in the format of sentence-transformers.

    Args:
      target: the directory to write.
      model: an encoder of texts.
      params: its parameters.
      notes: texts of further files, by their names.

    Raises:
      ValueError: if sentence-transformers cannot express the model.
    """
    family = model.family
    if family.generative or family.import_path is not None:
        raise ValueError(
            "sentence-transformers loads encoders of Hugging Face's families, and"
            f" {family.model_type!r} is none; take --format hf."
        )
    files, tensors = sentence_files(
        model.pooling,
        model.standardize,
        model.pretrained.config.hidden_size,
        model.max_positions,
    )
    model.save(target, params, notes={**files, **(notes or {})}, tensors=tensors)
