"""Members of a run: tasks with episodes, or raw text with masked tokens."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import _meta_gradient, base, evaluation, models, training
from metaflax import config as config_lib
from metaflax.config._mixture import pretraining_of, run_of
from metaflax.config._unused import unused_notes
from metaflax.training._placement import Placement
from metaflax.training._processes import is_coordinator
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping
from metaflax.workflows.meta_training._mlm_batches import MaskedRows
from metaflax.workflows.meta_training._mlm_evaluator import (
    MaskedWordScorer,
    Network,
    as_algorithm,
    load_network,
    save_network,
)
from metaflax.workflows.runs import _data_record as data_record
from metaflax.workflows.runs import _licences, _run_files
from metaflax.workflows.runs._calibration import write_calibration
from metaflax.workflows.runs._console import report_notes
from metaflax.workflows.runs._episodes import all_inputs
from metaflax.workflows.runs._load_model import rebuilt
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._pair_encoding import with_pair_encoding
from metaflax.workflows.runs._paired_comparison import compare, compare_scores, describe
from metaflax.workflows.runs._protocol import episode_protocol
from metaflax.workflows.runs._run import (
    Run,
    load_run,
    num_classes,
    refuse_baseline,
    roomy,
    training_algorithm,
)
from metaflax.workflows.runs._run_data import report_data
from metaflax.workflows.runs._run_directory import RunDirectory

# Folder of a run directory with the trained model.
MODEL = "model"


class Member(Protocol):
    """Member of a run, loaded but not compiled.

    Attributes:
      name: name of the member; empty if the run has no other.
      directory: directory of its config and results.
      algorithm: algorithm on the member's parameters.
      params: initial parameters.
      size: number of training examples.
      num_tasks: tasks per batch.
      task_loop: number of tasks that are computed at once.
      score: the validation metric that ranks checkpoints, higher is better.
      validate: `metrics = validate(params)`.
    """

    name: str
    directory: RunDirectory
    algorithm: base.MetaAlgorithm
    params: Any
    size: int
    num_tasks: int
    task_loop: _meta_gradient.TaskLoop
    score: str
    validate: Callable[[Any], dict[str, float]]

    @property
    def num_shapes(self) -> int:
        """Maximum number of batch shapes."""
        ...

    def batch(self, step: int, task_numbers: np.ndarray | None = None) -> base.Task:
        """Returns the batch of a step, or some of its tasks by number."""
        ...

    def report(self, console: Console) -> None:
        """Prints a summary of the data."""
        ...

    def record(self) -> data_record.Record:
        """Returns the record of the data, to tell when they change."""
        ...

    def check_data(self) -> None:
        """Raises ValueError if a run in its directory was trained on other data."""
        ...

    def begin(self) -> None:
        """Writes config, data record and pretrained model, unless a run is resumed."""
        ...

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Compares parameters from before and after training on test data."""
        ...

    def export(self, params: Any, best_step: int, placement: Placement) -> None:
        """Writes the trained parameters to the member's directory."""
        ...


class EpisodicMember:
    """Member whose batches are episodes, see `Member`.

    Args:
      run: the loaded run.
      directory: of the member.
      name: of the member.
    """

    def __init__(self, run: Run, directory: RunDirectory, name: str = ""):
        self.name, self.directory, self.run = name, directory, run
        settings = run.config.training
        self.algorithm = training_algorithm(run)
        self.params = run.initial_params()
        self._episodes = roomy(run, run.train)
        self.size = self._episodes.num_texts
        self.num_tasks = settings.tasks_per_step
        self.task_loop: _meta_gradient.TaskLoop = settings.task_loop
        self.score = run.task.scores[0]
        # Validation has a seed of its own; its classes are different ones anyway.
        self._validator = run.evaluator(
            run.valid, settings.seed + 1, settings.valid_episodes
        )
        self.validate = self._validator.mean

    @property
    def num_shapes(self) -> int:
        """Maximum number of batch shapes."""
        return self._episodes.num_shapes

    @functools.cached_property
    def evaluator(self) -> Any:
        """Evaluator of the test episodes."""
        return self.run.test_evaluator()

    def batch(self, step: int, task_numbers: np.ndarray | None = None) -> base.Task:
        """Returns the batch of a step, or some of its tasks by number."""
        seed = self.run.config.training.seed
        return next(self._episodes.stream(seed, step, self.num_tasks, task_numbers))

    def report(self, console: Console) -> None:
        """Prints a summary of the data, and settings without effect."""
        report_data(self.run, console)
        model = self.run.model
        notes = unused_notes(self.run.config, model.encoder, model.init)
        report_notes(notes, console)

    def record(self) -> data_record.Record:
        """Returns the record of the data, to tell when they change."""
        return self.run.record()

    def check_data(self) -> None:
        """Raises ValueError if a run in its directory was trained on other data."""
        source = data_record.source_of(self.run.config.data)
        data_record.check_record(self.directory.path, self.record(), source)

    def begin(self) -> None:
        """Writes config, data record and pretrained model, unless a run is resumed."""
        self.directory.begin(self.run.config, self._prepare)

    def _prepare(self) -> None:
        self.directory.write_json(data_record.FILE, self.record())
        model = self.run.model.pretrained.directory
        licences = _licences.licences_of(self.run.config, model)
        self.directory.write_json(_licences.FILE, licences)
        _run_files.keep_model(self.directory.path, model)

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Compares both parameters on the same test episodes."""
        scores: dict[str, evaluation.Scores] = {
            "before": self.evaluator(before),
            "after": self.evaluator(after),
        }
        write_calibration(self.run, self._validator, after, self.directory, console)
        title = describe(self.run.config)
        if self.name:
            title = f"{self.name}: {title}"
        used = {"used": episode_protocol(self.run.config)}
        return used | compare(self.evaluator, scores, console, title=title)

    def export(self, params: Any, best_step: int, placement: Placement) -> None:
        """Writes a finished run with these parameters, for `evaluate` and `adapt`."""
        if self.directory.finished:
            return
        key = jax.random.key(self.run.config.training.seed, impl="rbg")
        # The run is not resumed from here, so that the state has no optimizer.
        state = TrainState(jnp.asarray(best_step), params, (), key)
        state = placement.place(state)
        checkpoints = training.Checkpoints(self.directory.checkpoints)
        try:
            if checkpoints.latest_step() is None:
                stopping = Stopping(best_step=best_step)
                checkpoints.save(state, stopping, 0.0)
        finally:
            checkpoints.close()
        selected = {"best_step": best_step, "share": 1.0}
        self.directory.write_json(
            "selected.json", {**selected, "num_classes": num_classes(self.run)}
        )


class TextMember:
    """Member whose batches are rows of text with masked tokens, see `Member`.

    Args:
      config: of the pretraining.
      network: the masked language model; its parameters are the initial ones.
      directory: of the member.
      name: of the member.
    """

    score = "accuracy"
    num_shapes = 1
    task_loop: _meta_gradient.TaskLoop = "scan"

    def __init__(
        self,
        config: config_lib.PretrainConfig,
        network: Network,
        directory: RunDirectory,
        name: str = "",
    ):
        self.name, self.directory, self._config = name, directory, config
        settings = config.training
        self._network = network._replace(params=None)
        self.params = network.params
        self.algorithm = as_algorithm(network.model)
        self._rows = MaskedRows.of(config.text, settings.seed, network.tokenizer)
        self._rows_per_task = settings.rows_at_once or settings.rows_per_step
        self.size = self._rows.num_texts
        self.num_tasks = settings.rows_per_step // self._rows_per_task
        self._scorer = MaskedWordScorer(
            network.model, self._rows, settings.valid_rows, self._rows_per_task
        )
        self.validate = self._scorer.mean

    def batch(self, step: int, task_numbers: np.ndarray | None = None) -> base.Task:
        """Returns the batch of a step, or some of its tasks by number."""
        size = self._config.training.rows_per_step
        return next(self._rows.stream(step, size, self._rows_per_task, task_numbers))

    def report(self, console: Console) -> None:
        """Prints a summary of the data."""
        console.print(self._rows.summary())

    def record(self) -> data_record.Record:
        """Returns the record of the data, to tell when they change."""
        return self._rows.record()

    def check_data(self) -> None:
        """Raises ValueError if a run in its directory was trained on other data."""
        source = self._config.text.text
        data_record.check_record(self.directory.path, self.record(), source)

    def begin(self) -> None:
        """Writes config and record of the data, unless a run is resumed."""

        def prepare() -> None:
            self.directory.write_json(data_record.FILE, self.record())

        self.directory.begin(self._config, prepare)

    def test(self, before: Any, after: Any, console: Console) -> dict[str, Any]:
        """Compares both parameters on the same held-out rows, with intervals."""
        params = {"before": before, "after": after}
        scores = {when: self._scorer.by_row(x) for when, x in params.items()}
        metrics = ("accuracy", "log_likelihood")
        num_rows = len(scores["after"]["accuracy"])
        title = f"{self.name}: masked tokens of {num_rows} rows"
        comparison = compare_scores(scores, metrics, console, title=title)
        perplexity = {
            when: self.validate(x)["perplexity"] for when, x in params.items()
        }
        return {"rows": num_rows, **comparison, "perplexity": perplexity}

    def export(
        self,
        params: Any,
        best_step: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Writes the masked language model to the folder `model`."""
        del best_step, placement  # The directory has no checkpoints of its own.
        if not is_coordinator():
            return
        encoder = models.merge_lora(params["encoder"])
        save_network(
            self.model_directory,
            self._network,
            {**params, "encoder": encoder},
        )

    @property
    def model_directory(self) -> Path:
        """Folder of the trained model."""
        return self.directory.path / MODEL


def load_members(
    config: config_lib.MixtureConfig, model: LoadedModel, directory: RunDirectory
) -> dict[str, Member]:
    """Loads all members of a mixture.

    Args:
      config: of the mixture.
      model: the encoder that the members share.
      directory: of the run.

    Returns:
      Members by name, in the order of the config.

    Raises:
      ValueError: with the name of the member and what is wrong with its data.
    """
    members: dict[str, Member] = {}
    for name, member in config.members.items():
        episodic = isinstance(member, config_lib.TaskMember)
        load = _load_episodic if episodic else _load_text
        try:
            members[name] = load(config, name, model, directory.member(name))
        except ValueError as error:
            raise ValueError(f"member {name!r}: {error}") from error
    return members


def _load_episodic(
    mixture: config_lib.MixtureConfig, name: str, model: LoadedModel, path: Path
) -> EpisodicMember:
    base = run_of(mixture, name)
    config = with_pair_encoding(base, lambda task: all_inputs(base.data, task))
    refuse_baseline(config)
    task = config_lib.build_task(config)
    run = load_run(config, lambda: rebuilt(model, config.model, task))
    member = EpisodicMember(run, RunDirectory(path), name)
    _ = member.evaluator  # Raises before anything is written.
    return member


def _load_text(
    mixture: config_lib.MixtureConfig, name: str, model: LoadedModel, path: Path
) -> TextMember:
    config = pretraining_of(mixture, name)
    network = load_network(config)
    params = {"encoder": model.pretrained.params, "head": network.params["head"]}
    directory = RunDirectory(path, config_lib.PretrainConfig)
    return TextMember(config, network._replace(params=params), directory, name)
