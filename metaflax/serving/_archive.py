"""Export of a task as a zipped model."""

import shutil
import tempfile
from pathlib import Path

from metaflax import data
from metaflax.workflows.inference._saved_task import save_task
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner


def write_archive(
    learner: Learner, learned: LearnedTask, examples: data.Examples
) -> Path:
    """Writes a task in the format of `metaflax adapt`, zipped.

    Args:
      learner: the model.
      learned: the task.
      examples: support set of the task.

    Returns:
      Path of the archive in a new folder, which `remove_archive` removes.

    Raises:
      ValueError: if Hugging Face's format cannot express the encoder.
    """
    folder = Path(tempfile.mkdtemp(prefix="metaflax-"))
    try:
        save_task(learner, learned, folder / "model", examples)
        name = shutil.make_archive(str(folder / "archive"), "zip", folder, "model")
        shutil.rmtree(folder / "model")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Path(name)


def remove_archive(archive: Path) -> None:
    """Removes what `write_archive` wrote."""
    shutil.rmtree(archive.parent, ignore_errors=True)
