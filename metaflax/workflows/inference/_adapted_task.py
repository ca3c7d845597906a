"""Writing and reporting of a model that was adapted to a task."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import data, target_kinds, tasks
from metaflax._wording import counted
from metaflax.models.pretrained._files import HEAD
from metaflax.workflows.inference._kept_context import left_out_notes
from metaflax.workflows.inference._model_card import CARD, adapted_card
from metaflax.workflows.inference._saved_model import save_adapted, save_generative
from metaflax.workflows.inference._support_file import support_file, support_lines
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.runs._calibration import (
    Calibration,
    read_calibration,
    why_uncalibrated,
)
from metaflax.workflows.runs._console import report_notes
from metaflax.workflows.runs._protocol import described_use
from metaflax.workflows.runs._run import Trained
from metaflax.workflows.runs._run_directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class AdaptedTask:
    """Model that was adapted to a task.

    Attributes:
      trained: the model, with the config of the head that was chosen.
      run_dir: directory of the meta-trained run, if any.
      task: the task type.
      examples: the support set.
      names: class names in the order of the outputs, or the name of the number.
      adapted: adapted parameters, output of the algorithm.
      used: record of inputs other than labelled texts.
      choice: choice of the head, if it was chosen.
    """

    trained: Trained
    run_dir: Path | None
    task: tasks.TaskType
    examples: data.Examples
    names: list[str]
    adapted: Any
    used: dict[str, Any]
    choice: HeadChoice | None

    @functools.cached_property
    def why_uncalibrated(self) -> str | None:
        """Reason why the calibration of the run does not hold; None if it holds."""
        if self.run_dir is None:
            return None
        choice, config = self.choice, self.trained.config
        return why_uncalibrated(
            RunDirectory(self.run_dir).config(),
            config.algorithm,
            uses_label_names=config.data.uses_label_names,
            other_head=None if choice is None or choice.is_default else choice.name,
        )

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """Calibration of the run; None if it does not hold for this model."""
        if self.run_dir is None or self.why_uncalibrated is not None:
            return None
        return read_calibration(RunDirectory(self.run_dir))

    def save(self, target: Path, *, keep_context: bool) -> None:
        """Writes a directory in Hugging Face's format.

        Args:
          target: the directory.
          keep_context: as for `adapt`.

        Raises:
          ValueError: if the format cannot express the model.
        """
        config, model, params, _ = self.trained
        card = adapted_card(
            target,
            config,
            self.names,
            self.examples,
            model=model.pretrained.directory,
            run_dir=self.run_dir,
            calibration=self.calibration,
            max_length=config.data.max_length,
            used=self.used,
            choice=self.choice,
        )
        if model.family.generative:
            save_generative(
                target,
                model,
                params,
                self.adapted,
                config,
                notes={CARD: card},
                names=self.names,
                support=support_lines(self.examples, self.task),
                keep_context=keep_context,
            )
        else:
            save_adapted(
                target,
                model,
                params,
                self.adapted,
                self.names,
                config,
                self.task,
                notes={CARD: card, **support_file(self.examples, self.task)},
                calibration=self.calibration,
                choice=self.choice,
                used=self.used,
            )

    def report(self, target: Path, truncated: str, console: Console) -> None:
        """Prints what was adapted, and how its probabilities are calibrated.

        Args:
          target: the directory that was written.
          truncated: description of truncated support texts; empty if there are none.
          console: console to print on.
        """
        config, what = self.trained.config, self.trained.config.data.task
        if not self.trained.model.family.generative:
            what = target_kinds.of(self.task).describe_adapted(len(self.names))
        elif "context" in self.adapted:
            report_notes(left_out_notes(self.adapted["context"]), console)
        texts = counted(len(self.examples), "text") + described_use(self.used)
        lines = [f"adapted to {what} from {texts}{truncated}: {target}"]
        if config.model.extends_features:
            which = "texts that are encoded apart"
            if config.model.capitals:
                which = "words that say which begin with a capital"
            lines.append(
                f"its output layer, in {HEAD}, takes features of {which}, as no class"
                " of Hugging Face does; metaflax loads all of it, and AutoModel the"
                " encoder"
            )
        if self.run_dir is not None:
            lines += self._described_calibration()
        for line in lines:
            console.print(line, soft_wrap=True)

    def _described_calibration(self) -> list[str]:
        """Describes how probabilities are calibrated, or why they are not."""
        if (fitted := self.calibration) is not None:
            return [
                f"calibrated at temperature {fitted.temperature:.3g}, fitted on"
                f" {fitted.queries} {fitted.episodes} queries of meta-validation"
            ]
        if (reason := self.why_uncalibrated) is not None:
            return [f"not calibrated: {reason}"]
        if target_kinds.of(self.task).single_label and self.task.tokens is None:
            return [
                f"not calibrated, since the run is of an earlier version: `metaflax"
                f" evaluate {self.run_dir}` fits a temperature; then adapt again"
            ]
        return []
