"""Export of a meta-trained model, adapted to nothing."""

from pathlib import Path

from metaflax._files import check_absent
from metaflax.workflows.inference._saved_model import generative_purpose
from metaflax.workflows.runs._run import load_trained


def export(run_dir: str | Path, out: str | Path) -> Path:
    """Writes the encoder or generative model of a run as it was meta-trained.

    Unlike the output of `adapt` it may be trained further, with any output layer: as
    the model of another run, or of fine-tuning. How features are pooled is for the
    config of that run to say.

    Args:
      run_dir: a finished run.
      out: the directory to write, in Hugging Face's format.

    Returns:
      The directory.

    Raises:
      ValueError: if it exists, the run has not finished, or its encoder has parts that
        the format has no place for.
    """
    target = Path(out).expanduser()
    check_absent(target)
    trained = load_trained(run_dir)
    generative = trained.model.family.generative
    purpose = generative_purpose(trained.config) if generative else None
    trained.model.save(target, trained.params["encoder"], purpose=purpose)
    return target
