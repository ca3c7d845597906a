"""The members of a mixture: tasks with episodes, and raw text with masked words.

Both are what a run by itself is made of, on an encoder that they share.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import base, meta_gradient, models, training
from metaflax import config as config_lib
from metaflax.workflows.meta_training._mlm_batches import HiddenRows
from metaflax.workflows.meta_training._mlm_evaluator import (
    MaskedWordScorer,
    as_algorithm,
    load_network,
    save_network,
)
from metaflax.workflows.meta_training._pretrain import MODEL
from metaflax.workflows.runs._encoder_model import Model, read_as
from metaflax.workflows.runs._paired_comparison import compare, compare_scores, describe
from metaflax.workflows.runs._run import (
    initial_params,
    load_run,
    num_classes,
    refuse_baseline,
    report_data,
    roomy,
    training_algorithm,
)
from metaflax.workflows.runs._run_directory import RunDirectory


class Member(Protocol):
    """A member, loaded, nothing compiled yet.

    Attributes:
      name: of the member.
      directory: where its part of a run is left.
      algorithm: on parameters of its own.
      params: where these begin.
      size: how many examples it learns from.
      num_tasks: of a batch.
      task_loop: how many of them are taken at once.
      num_shapes: how many shapes its batches have at most.
      score: the validation metric that stands for it, more is better.
      validate: `metrics = validate(params)`.
    """

    name: str
    directory: RunDirectory
    algorithm: base.MetaAlgorithm
    params: Any
    size: int
    num_tasks: int
    task_loop: meta_gradient.TaskLoop
    num_shapes: int
    score: str
    validate: Callable[[Any], dict[str, float]]

    def stream(self, step: int, share: np.ndarray | None = None) -> Iterator[base.Task]:
        """Its batches of `step` and all later ones, of each a share of the tasks."""
        ...

    def report(self, console: Console) -> None:
        """Says what was read."""
        ...

    def begin(self) -> None:
        """Writes its config, unless a run that is gone on with has it."""
        ...

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Scores parameters of before and after the run."""
        ...

    def leave(self, params: Any, best_step: int, placement: training.Placement) -> None:
        """Writes what `params` are taken up by, those of a step."""
        ...


class Tasks:
    """A member whose batches are episodes, see `Member`."""

    def __init__(
        self,
        config: config_lib.MixtureConfig,
        name: str,
        model: Model,
        directory: RunDirectory,
    ):
        self.name = name
        self._config = config_lib.run_of(config, name)
        self.directory = RunDirectory(directory.member(name))
        refuse_baseline(self._config)
        self._run = run = load_run(
            self._config, lambda: read_as(model, self._config.model)
        )
        self.algorithm = training_algorithm(run)
        self.params = initial_params(run)
        self._episodes = roomy(run, run.train)
        self.size = self._episodes.num_texts
        self.num_tasks = self._config.training.tasks_per_step
        self.task_loop: meta_gradient.TaskLoop = config.training.task_loop
        self.num_shapes = self._episodes.num_shapes
        self.score = run.task.scores[0]
        chosen = self._config.training
        # Validation draws from a seed of its own; its classes are others anyway.
        self.validate = run.evaluator(
            run.valid, chosen.seed + 1, chosen.valid_episodes
        ).mean
        self._tester = run.test_evaluator()

    def stream(self, step: int, share: np.ndarray | None = None) -> Iterator[base.Task]:
        """Its batches of `step` and all later ones, of each a share of the tasks."""
        seed = self._config.training.seed
        return self._episodes.stream(seed, step, self.num_tasks, share)

    def report(self, console: Console) -> None:
        """Says what was read."""
        report_data(self._run, console)

    def begin(self) -> None:
        """Writes its config."""
        self.directory.begin(self._config)

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Scores both on the test episodes, the same ones."""
        scores = {"before": self._tester(before), "after": self._tester(after)}
        title = f"{self.name}: {describe(self._config)}"
        return compare(self._tester, scores, console, title=title)

    def leave(self, params: Any, best_step: int, placement: training.Placement) -> None:
        """Writes a finished run with these parameters, for `evaluate` and `adapt`."""
        if self.directory.finished:
            return
        key = jax.random.key(self._config.training.seed, impl="rbg")
        # Nothing will be trained on from here, so that there is no optimizer.
        state = training.TrainState(jnp.asarray(best_step), params, (), key)
        state = placement.place(state)
        checkpoints = training.Checkpoints(self.directory.checkpoints)
        try:
            if checkpoints.latest_step() is None:
                stopping = training.Stopping(best_step=best_step)
                checkpoints.save(state, stopping, 0.0)
        finally:
            checkpoints.close()
        selected = {"best_step": best_step, "share": 1.0}
        self.directory.write_json(
            "selected.json", {**selected, "num_classes": num_classes(self._run)}
        )


class Text:
    """A member whose batches are rows with words masked, see `Member`."""

    def __init__(
        self,
        config: config_lib.MixtureConfig,
        name: str,
        model: Model,
        directory: RunDirectory,
    ):
        self.name = name
        self._config = config_lib.pretraining_of(config, name)
        kind = config_lib.PretrainConfig
        self.directory = RunDirectory(directory.member(name), kind)
        chosen = self._config.training
        network = load_network(self._config)
        self._network = network._replace(params=None)  # The encoder is everybody's.
        self._rows = HiddenRows.of(self._config.text, chosen.seed, network.tokenizer)
        self._at_once = chosen.rows_at_once or chosen.rows_per_step
        self.algorithm = as_algorithm(network.model)
        self.params = {
            "encoder": model.pretrained.params,
            "head": network.params["head"],
        }
        self.size = self._rows.num_texts
        self.num_tasks = chosen.rows_per_step // self._at_once
        self.task_loop: meta_gradient.TaskLoop = "scan"
        self.num_shapes = 1
        self.score = "accuracy"
        self._scorer = MaskedWordScorer(
            network.model, self._rows, chosen.valid_rows, self._at_once
        )
        self.validate = self._scorer.mean

    def stream(self, step: int, share: np.ndarray | None = None) -> Iterator[base.Task]:
        """Its batches of `step` and all later ones, of each a share of the tasks."""
        size = self._config.training.rows_per_step
        return self._rows.stream(step, size, self._at_once, share)

    def report(self, console: Console) -> None:
        """Says what was read."""
        console.print(self._rows.summary())

    def begin(self) -> None:
        """Writes its config."""
        self.directory.begin(self._config)

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Scores both on the held-out rows, the same ones; intervals are over rows."""
        params = {"before": before, "after": after}
        scores = {when: self._scorer.by_row(own) for when, own in params.items()}
        metrics = ("accuracy", "log_likelihood")
        title = f"{self.name}: masked words of {len(scores['after']['accuracy'])} rows"
        found = compare_scores(scores, metrics, console, title=title)
        means = {when: self._scorer.mean(own) for when, own in params.items()}
        perplexity = {when: own["perplexity"] for when, own in means.items()}
        return {
            "rows": len(scores["after"]["accuracy"]),
            **found,
            "perplexity": perplexity,
        }

    def leave(self, params: Any, best_step: int, placement: training.Placement) -> None:
        """Writes a `BertForMaskedLM`, as `pretrain` does."""
        del best_step, placement  # The directory has no checkpoints of its own.
        if not training.is_coordinator():
            return
        encoder = models.merge_lora(params["encoder"])
        save_network(
            self.directory.path / MODEL,
            self._network.config,
            {**params, "encoder": encoder},
            self._network.directory,
        )


def load_members(
    config: config_lib.MixtureConfig, model: Model, directory: RunDirectory
) -> dict[str, Member]:
    """All members of a mixture.

    Args:
      config: of the mixture.
      model: the encoder that they share.
      directory: of the run.

    Returns:
      Members by name, in the order of the config.

    Raises:
      ValueError: naming the member and what is wrong with its data.
    """
    members: dict[str, Member] = {}
    for name, member in config.members.items():
        kind = Tasks if isinstance(member, config_lib.TaskMember) else Text
        try:
            members[name] = kind(config, name, model, directory)
        except ValueError as error:
            raise ValueError(f"member {name!r}: {error}") from error
    return members
