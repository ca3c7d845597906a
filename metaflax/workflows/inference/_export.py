"""Export of meta-trained and adapted models to the formats of other libraries."""

from pathlib import Path
from typing import Literal, TypeAlias

from metaflax._files import check_absent
from metaflax.workflows.inference._graphs import export_graph
from metaflax.workflows.inference._model_card import CARD, encoder_card
from metaflax.workflows.inference._saved_model import generative_purpose
from metaflax.workflows.runs._run import load_trained
from metaflax.workflows.runs._run_directory import refuse_run

ExportFormat: TypeAlias = Literal["hf", "stablehlo", "onnx"]


def export(source: str | Path, out: str | Path, format: ExportFormat = "hf") -> Path:
    """Writes a model in the format of another library.

    `hf` writes the encoder or generative model of a run as it was meta-trained. Unlike
    the output of `adapt` it may be trained further, with any output layer: as the model
    of another run, or of fine-tuning. How features are pooled is for the config of that
    run to say.

    `stablehlo` and `onnx` write what `adapt` made, encoder and output layer, as a graph
    from tokens to logits and probabilities, with symbolic numbers of texts and tokens.

    Args:
      source: a finished run for `hf`, an adapted directory for the graphs.
      out: the directory to write.
      format: of the model.

    Returns:
      The directory.

    Raises:
      ValueError: if it exists, the source is none for the format, its encoder has parts
        that the format has no place for, or a graph computes anything else.
    """
    target = Path(out).expanduser()
    check_absent(target)
    if format != "hf":
        refuse_run(source, f"adapt it to a task first, and export that to {format}")
        export_graph(source, target, format)
        return target
    trained = load_trained(source)
    generative = trained.model.family.generative
    purpose = generative_purpose(trained.config) if generative else None
    card = encoder_card(target.name, trained.config, Path(source).expanduser())
    trained.model.save(
        target, trained.params["encoder"], purpose=purpose, notes={CARD: card}
    )
    return target
