"""Saving of a learned task as a self-contained directory."""

from collections.abc import Mapping
from pathlib import Path

from metaflax import data
from metaflax.workflows.inference._model_card import CARD, adapted_card
from metaflax.workflows.inference._saved_model import save_adapted
from metaflax.workflows.inference._support_file import support_file
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.runs._protocol import used_record


def save_task(
    learner: Learner,
    learned: LearnedTask,
    directory: str | Path,
    examples: data.Examples,
    *,
    num_unlabelled: int = 0,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes a task as `metaflax adapt` does, for `metaflax.load`.

    Args:
      learner: the model that learned the task.
      learned: the task.
      directory: directory to write, which must not exist or be empty.
      examples: support set of the task, written for explanations.
      num_unlabelled: number of texts without labels that the task was learned from.
      notes: texts of further files, by their names.

    Raises:
      ValueError: if the directory is not empty, or the format cannot express the
        encoder.
    """
    target = Path(directory).expanduser()
    calibration, config = learner.calibration_of(learned), learner.config_of(learned)
    used = used_record(num_unlabelled, learned.uses_label_names)
    card = adapted_card(
        target,
        config,
        learned.names,
        examples,
        model=learner.encoder.model.pretrained.directory,
        run_dir=learner.run_dir,
        calibration=calibration,
        max_length=learner.encoder.max_length,
        used=used,
        choice=learned.choice,
    )
    save_adapted(
        target,
        learner.encoder.model,
        learner.params,
        {"encoder": learned.encoder, "head": learned.head},
        list(learned.names),
        config,
        learner.task,
        notes={CARD: card, **support_file(examples, learner.task), **(notes or {})},
        calibration=calibration,
        choice=learned.choice,
        used=used,
    )
