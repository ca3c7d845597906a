"""A generative model that was adapted to a task."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from metaflax import data
from metaflax._wording import counted
from metaflax.config._factories import build_algorithm
from metaflax.workflows.inference._kept_context import left_out_notes
from metaflax.workflows.inference._model_card import CARD, adapted_card
from metaflax.workflows.inference._request import Request
from metaflax.workflows.inference._saved_model import save_generative
from metaflax.workflows.inference._support_file import support_lines
from metaflax.workflows.learning._support_sets import support_set
from metaflax.workflows.runs._trained import Trained


class AdaptedGenerator(NamedTuple):
    """Generative model that was adapted to a task.

    Attributes:
      request: the request of the adaptation.
      trained: the model.
      examples: the support set.
      names: names of the classes, or of the target.
      adapted: adapted parameters, output of the algorithm.
      truncated: describes support texts that were truncated; empty if there are none.
    """

    request: Request
    trained: Trained
    examples: data.Examples
    names: list[str]
    adapted: Any
    truncated: str

    @classmethod
    def learn(
        cls,
        request: Request,
        trained: Trained,
        examples: data.Examples,
        names: list[str],
    ) -> "AdaptedGenerator":
        """Adapts the model of a request to its support set.

        Raises:
          ValueError: if a text is too long.
        """
        config, model, params, _ = trained
        task, room = request.task, len(names)
        support, truncated = support_set(model, examples, names, config, task, room)
        algorithm = build_algorithm(
            config.algorithm,
            model.encoder,
            model.init,
            task,
            room,
            num_steps=config.algorithm.eval_num_steps,
        )
        adapted, _ = jax.jit(algorithm.adapt)(params, support)
        return cls(request, trained, examples, names, adapted, truncated)

    def save(self, target: Path) -> None:
        """Writes a directory in Hugging Face's format, with the context if asked to."""
        config, model, params, _ = self.trained
        card = adapted_card(
            target,
            config,
            self.names,
            self.examples,
            model=model.pretrained.directory,
            run_dir=self.request.run_dir,
            max_length=config.data.max_length,
        )
        save_generative(
            target,
            model,
            params,
            self.adapted,
            config,
            notes={CARD: card},
            names=self.names,
            support=support_lines(self.examples, self.request.task),
            keep_context=self.request.keeps_context,
        )

    def report(self, target: Path) -> list[str]:
        """Describes what was adapted."""
        task, texts = self.trained.config.data.task, counted(len(self.examples), "text")
        notes = []
        if "context" in self.adapted:
            notes = left_out_notes(self.adapted["context"])
        return [
            *(f"note: {note}" for note in notes),
            f"adapted to {task} from {texts}{self.truncated}: {target}",
        ]
