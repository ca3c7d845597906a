"""The model of a run as a directory that others start from, adapted to nothing."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaflax import models
from metaflax.files import check_absent
from metaflax.workflows.inference._adapt_language_model import save_speaker
from metaflax.workflows.runs._encoder_model import Model
from metaflax.workflows.runs._language_model import Speaker
from metaflax.workflows.runs._run import load_trained


def export(run_dir: str | Path, out: str | Path) -> Path:
    """Writes the encoder or language model of a run as it was meta-trained.

    Other than what `adapt` writes it may be trained on, with any output layer: named
    as `ModelConfig.model` it is where another run, or fine-tuning, starts from.
    How features are read, pooling and the like, is for the config of that run to say.

    Args:
      run_dir: where `train` left the run.
      out: the directory to write, in Hugging Face's format.

    Returns:
      The directory.

    Raises:
      ValueError: if it exists, the run has not finished, or its encoder has parts that
        BERT has not.
    """
    target = Path(out).expanduser()
    check_absent(target)
    trained = load_trained(run_dir)
    params = trained.params["encoder"]
    if isinstance(trained.model, Speaker):
        save_speaker(target, trained.model, params, trained.config)
    else:
        save_encoder(target, trained.model, params)
    return target


def save_encoder(target: Path, model: Model, params: Any) -> None:
    """Writes a bare `BertModel` with these weights."""
    models.pretrained.save(
        target,
        model.pretrained.config,
        models.merge_lora(jax.tree.map(np.asarray, params)),
        tokenizer_from=model.pretrained.directory,
    )
