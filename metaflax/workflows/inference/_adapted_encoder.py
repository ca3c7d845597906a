"""An encoder that was adapted to a task."""

import sys
from pathlib import Path
from typing import NamedTuple

from metaflax import data, target_kinds, tasks
from metaflax._wording import counted
from metaflax.models.pretrained._files import HEAD
from metaflax.workflows.inference._request import Request
from metaflax.workflows.inference._saved_task import save_task
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import TextEncoder
from metaflax.workflows.runs._episode_texts import texts_of
from metaflax.workflows.runs._protocol import (
    described_use,
    read_unlabelled,
    used_record,
)
from metaflax.workflows.runs._trained import Trained, fitted


class AdaptedEncoder(NamedTuple):
    """Encoder and output layer of a task.

    Attributes:
      learner: the encoder, which learned the task.
      learned: the task.
      examples: its support set.
      num_unlabelled: number of texts without labels that it was learned from.
      truncated: describes texts that were truncated; empty if there are none.
    """

    learner: Learner
    learned: LearnedTask
    examples: data.Examples
    num_unlabelled: int
    truncated: str

    @classmethod
    def learn(
        cls,
        request: Request,
        trained: Trained,
        examples: data.Examples,
        names: list[str],
        unlabelled_texts: str | Path | None,
    ) -> "AdaptedEncoder":
        """Learns the task of a request.

        Args:
          request: the request.
          trained: its encoder.
          examples: the support set.
          names: names of the classes in the order of the outputs, or of the number.
          unlabelled_texts: file of texts without labels, if any.

        Raises:
          ValueError: as `adapt`.
        """
        trained, task = fitted(trained), request.task
        learner = _learner(request, trained, task)
        named, texts = learner.label_texts(names), []
        if unlabelled_texts is not None:
            texts = read_unlabelled(unlabelled_texts, task, request.source)
        # Raises an error for a text that is too long, if the config asks for that.
        further = (*named.inputs, *texts)
        truncated = texts_of(
            examples, names, trained.config, task, trained.model, further
        ).truncation()
        unlabelled = learner.encoder.encode(texts) if texts else None
        learned = learner.learn(examples, names, unlabelled=unlabelled, named=named)
        if learned.choice is not None:
            print(learned.choice, file=sys.stderr)
        return cls(learner, learned, examples, len(texts), truncated)

    def save(self, target: Path) -> None:
        """Writes a directory in Hugging Face's format.

        Raises:
          ValueError: if the format cannot express the model.
        """
        save_task(
            self.learner,
            self.learned,
            target,
            self.examples,
            num_unlabelled=self.num_unlabelled,
        )

    def report(self, target: Path) -> list[str]:
        """Describes what was adapted, and how its probabilities are calibrated."""
        learner, learned = self.learner, self.learned
        kind, model = target_kinds.of(learner.task), learner.config.model
        what = kind.describe_adapted(len(learned.names))
        used = used_record(self.num_unlabelled, learned.uses_label_names)
        texts = counted(len(self.examples), "text") + described_use(used)
        lines = [f"adapted to {what} from {texts}{self.truncated}: {target}"]
        if model.extends_features:
            which = "texts that are encoded apart"
            if model.capitals:
                which = "words that say which begin with a capital"
            lines.append(
                f"its output layer, in {HEAD}, takes features of {which}, as no class"
                " of Hugging Face does; metaflax loads all of it, and AutoModel the"
                " encoder"
            )
        return lines + self._calibration()

    def _calibration(self) -> list[str]:
        """Describes how probabilities are calibrated, or why they are not."""
        learner = self.learner
        if learner.run_dir is None:
            return []
        if (fitted := learner.calibration_of(self.learned)) is not None:
            return [
                f"calibrated at temperature {fitted.temperature:.3g}, fitted on"
                f" {fitted.queries} {fitted.episodes} queries of meta-validation"
            ]
        if (reason := learner.why_uncalibrated(self.learned)) is not None:
            return [f"not calibrated: {reason}"]
        if target_kinds.of(learner.task).single_label and learner.task.tokens is None:
            return [
                f"not calibrated, since the run is of an earlier version: `metaflax"
                f" evaluate {learner.run_dir}` fits a temperature; then adapt again"
            ]
        return []


def _learner(request: Request, trained: Trained, task: tasks.TaskType) -> Learner:
    """Makes the learner of a request."""
    encoder = TextEncoder(
        trained.model,
        trained.params["encoder"],
        task.form,
        trained.config.data.max_length,
    )
    params = trained.params
    if request.run_dir is None:
        params = {"encoder": params["encoder"]}
    return Learner(
        encoder,
        params,
        trained.config,
        trained.num_classes,
        request.run_dir,
        chooses_head=request.chooses_head,
    )
