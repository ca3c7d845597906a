"""Runs: the model, task type and episodes of a config."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, tasks
from metaflax._wording import counted
from metaflax.config._factories import build_algorithm, build_head, resolve_algorithm
from metaflax.data.sources._equal_texts import count_shared
from metaflax.workflows.runs import _data_record as data_record
from metaflax.workflows.runs._console import report_notes
from metaflax.workflows.runs._context_losses import context_notes
from metaflax.workflows.runs._encoder_scorers import (
    LogitScorer,
    TokenScorer,
)
from metaflax.workflows.runs._episodes import (
    Episodes,
    load_splits,
    make_episodes,
    make_training_episodes,
)
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._labelled_on_disk import labelled_on_disk
from metaflax.workflows.runs._loaded_model import LoadedModel, load_model
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._run_files import located_data, located_model
from metaflax.workflows.runs._smlmt_source import load_masked_words
from metaflax.workflows.runs._streamed_episodes import FromDisk
from metaflax.workflows.runs._text_scorer import TextScorer

E = TypeVar("E", bound=Episodes | FromDisk)


class Run(NamedTuple):
    """Model, task type and episodes of a config, loaded and checked.

    Attributes:
      config: config of the run.
      model: encoder or generative model with its weights and tokenizer.
      task: task type.
      splits: examples of disjoint classes or domains.
      train: episodes of meta-training.
      valid: episodes of meta-validation.
      test: episodes of meta-testing.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.Run._fields
      ('config', 'model', 'task', 'splits', 'train', 'valid', 'test')
    """

    config: config_lib.Config
    model: LoadedModel
    task: tasks.TaskType
    splits: data.Splits
    train: Episodes | FromDisk
    valid: Episodes
    test: Episodes

    def initial_params(self) -> Any:
        """Initialises the meta-parameters: pretrained weights and a new head."""
        key = jax.random.key(self.config.training.seed)
        return commit_to_device(training_algorithm(self).init(key))

    def resized(
        self,
        episodes: config_lib.EpisodeConfig | None = None,
        evaluation: config_lib.EvaluationConfig | None = None,
    ) -> "Run":
        """Returns the run with other test episodes, and the same training episodes.

        Args:
          episodes: sizes (default: those of the run).
          evaluation: number and seed of the episodes (default: those of the run).

        Raises:
          ValueError: if there are too few data, or a meta-trained output layer has
            fewer classes.
        """
        config = dataclasses.replace(
            self.config,
            episodes=episodes or self.config.episodes,
            evaluation=evaluation or self.config.evaluation,
        )
        config_lib.check(config)
        test = make_episodes(
            self.splits.test, config.episodes, config, self.task, self.model
        )
        resized = self._replace(config=config, test=test)
        if learns_output_layer(self) and num_classes(resized) > num_classes(self):
            raise ValueError(
                f"way is {config.episodes.way}, and this run's output layer was"
                f" meta-trained for {num_classes(self)} classes; lower way, or train"
                " with a larger one."
            )
        return resized

    def record(self) -> data_record.Record:
        """Returns the record of the data, to tell when they change."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: episodes.record() for name, episodes in splits.items()}

    def evaluator(self, episodes: Episodes, seed: int, num: int) -> Evaluator:
        """Builds an evaluator of `num` episodes of a seed."""
        padded = roomy(self, episodes)
        return evaluator_of(self.config, self.model, self.task, padded, seed, num)

    def test_evaluator(self) -> Evaluator:
        """Builds an evaluator of the test episodes of the config."""
        evaluation = self.config.evaluation
        return self.evaluator(self.test, evaluation.test_seed, evaluation.test_episodes)


def evaluator_of(
    config: config_lib.Config,
    model: LoadedModel,
    task: tasks.TaskType,
    episodes: Episodes,
    seed: int,
    num: int,
) -> Evaluator:
    """Builds an evaluator by logits, token predictions or generated texts."""
    decoding, parts = config.evaluation, (config.algorithm, model, task, episodes)
    if task.texts is not None:
        scorer = TextScorer(*parts, decoding)
    else:
        scorer = (LogitScorer if task.tokens is None else TokenScorer)(*parts)
    return Evaluator(
        scorer,
        task,
        seed=seed,
        num_episodes=num,
        batch_episodes=decoding.batch_episodes,
    )


def refuse_baseline(config: config_lib.Config) -> None:
    """Raises ValueError if the algorithm is a baseline, which has no meta-gradient."""
    if resolve_algorithm(config.algorithm.name).is_baseline:
        raise ValueError(
            f"{config.algorithm.name} is a baseline without a meta-gradient; name"
            " it with `evaluate --baselines`, or train another algorithm."
        )


def load_run(
    config: config_lib.Config, load: Callable[[], LoadedModel] | None = None
) -> Run:
    """Loads the model and data of a config and checks the config.

    Args:
      config: config of the run.
      load: function that returns the model (default: loads the model of the config).

    Raises:
      ValueError: if a setting is invalid, or the model or data do not fit it.

    Examples:
      >>> from metaflax import config, workflows
      >>> workflows.load_run(config.Config(data=config.DataConfig(path="absent.csv")))
      Traceback (most recent call last):
        ...
      ValueError: absent.csv: no such file; check the path.
    """
    config_lib.check(config)
    task = config_lib.build_task(config)
    resolve_algorithm(config.algorithm.name)
    loader = _on_disk if config.data.on_disk else _labelled
    if task.raw_text:
        loader = _raw_text
    loaded = loader(config, task, load or (lambda: load_model(config.model, task)))
    model = loaded.model.with_room(config.data)

    def episodes(examples: data.Examples) -> Episodes:
        return make_episodes(examples, config.episodes, config, task, model)

    return Run(
        config,
        model,
        task,
        loaded.splits,
        train=loaded.train,
        valid=episodes(loaded.splits.valid),
        test=episodes(loaded.splits.test),
    )


def reload_run(directory: RunDirectory) -> Run:
    """Loads the run of a directory with its data.

    Args:
      directory: directory of the run, which may not have finished.

    Returns:
      The model, data and episodes of its config.

    Raises:
      ValueError: if there is no run, or model or data changed or are missing.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.reload_run(workflows.RunDirectory("runs/absent"))
      Traceback (most recent call last):
        ...
      ValueError: ...runs/absent holds no run, as it has no config.json; ...
    """
    config, path = directory.config(), directory.path
    model = located_model(config, path)
    task = config_lib.build_task(config)
    run = load_run(located_data(config, path), lambda: load_model(model, task))
    source = data_record.source_of(config.data)
    data_record.check_record(path, run.record(), source)
    return run._replace(config=config)


class Loaded(NamedTuple):
    """Model and data of a run.

    Attributes:
      model: encoder or generative model.
      splits: validation and test examples, and training examples held in memory.
      train: episodes of meta-training.
    """

    model: LoadedModel
    splits: data.Splits
    train: Episodes | FromDisk


Loader: TypeAlias = Callable[
    [config_lib.Config, tasks.TaskType, Callable[[], LoadedModel]], Loaded
]


def _labelled(
    config: config_lib.Config,
    task: tasks.TaskType,
    load: Callable[[], LoadedModel],
) -> Loaded:
    splits = load_splits(config.data, task)  # Before a download of the model.
    model, sizes = load(), config.episodes.training()
    train = make_training_episodes(splits.train, sizes, config, task, model)
    return Loaded(model, splits, train)


def _raw_text(
    config: config_lib.Config,
    task: tasks.TaskType,
    load: Callable[[], LoadedModel],
) -> Loaded:
    del task
    model = load()
    return Loaded(model, *load_masked_words(config, model))


def _on_disk(
    config: config_lib.Config,
    task: tasks.TaskType,
    load: Callable[[], LoadedModel],
) -> Loaded:
    source = labelled_on_disk(config)
    model = load()
    train = FromDisk(
        source.sampler, model, config, task.form, source.num_texts, source.description
    )
    return Loaded(model, source.splits, train)


def commit_to_device(arrays: Any) -> Any:
    """Commits arrays to the first device, as restored checkpoints are.

    With uncommitted arrays all programs would be recompiled for a restored checkpoint.
    """
    return jax.device_put(arrays, jax.local_devices()[0])


def training_algorithm(run: Run):
    """Builds the algorithm for meta-training.

    Its head has as many classes as the largest way of all three splits, so that a
    learned output layer fits each of them. Tasks use only the rows of the embedding
    table that their tokens need, unless that would change the result.
    """
    algorithm = build_algorithm(
        run.config.algorithm,
        run.model.encoder,
        run.model.init,
        run.task,
        num_classes(run),
    )
    return run.model.compact(algorithm)


def num_classes(run: Run) -> int:
    """Returns N, the largest number of classes of any episode."""
    return max(e.sizes.num_classes for e in (run.train, run.valid, run.test))


def learns_output_layer(run: Run) -> bool:
    """Returns whether the head has parameters per class, which fix their number."""
    num_features, settings = run.model.encoder.num_features, run.config.algorithm
    head = build_head(settings, num_features, run.task, num_classes(run))
    return head.per_class


def roomy(run: Run, episodes: E) -> E:
    """Pads episodes to the number of classes of a learned output layer."""
    room = num_classes(run) if learns_output_layer(run) else 0
    return episodes._replace(room=room)


class Trained(NamedTuple):
    """Trained run without its data.

    Attributes:
      config: config of the run.
      model: encoder or generative model with pretrained weights and tokenizer.
      params: meta-parameters with the best validation score.
      num_classes: number of classes of the head.
    """

    config: config_lib.Config
    model: LoadedModel
    params: Any
    num_classes: int


def load_trained(run_dir: str | Path) -> Trained:
    """Loads the best meta-parameters of a finished run.

    Raises:
      ValueError: if there is no run, or it has not finished.
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    selected = directory.selected()
    model = located_model(config, directory.path)
    untrained = load_untrained(
        dataclasses.replace(config, model=model), selected["num_classes"]
    )
    params = directory.best_params(untrained.params)
    return untrained._replace(config=config, params=params)


def load_untrained(config: config_lib.Config, num_classes: int) -> Trained:
    """Loads a pretrained model with a new head for `num_classes` classes."""
    task = config_lib.build_task(config)
    model = load_model(config.model, task).with_room(config.data)
    algorithm = build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        num_classes,
    )
    params = algorithm.init(jax.random.key(config.training.seed))
    return Trained(config, model, commit_to_device(params), num_classes)


def fitted(trained: Trained) -> Trained:
    """Limits the text length to the longest input of the model."""
    texts = trained.model.fitted(trained.config.data)
    config = dataclasses.replace(trained.config, data=texts)
    return trained._replace(config=config, model=trained.model.with_room(texts))


def report_data(run: Run, console: Console) -> None:
    """Prints the size of each split and of the data left out."""
    for name in ("train", "valid", "test"):
        source = getattr(run, name)
        console.print(f"meta-{name}: {source.summary(run.config.data.split_by)}")
    if dropped := run.splits.train.num_unlabelled:
        console.print(f"left out, without a label: {counted(dropped, 'text')}")
    if run.splits.num_unused:
        unused = counted(run.splits.num_unused, "text")
        console.print(f"in none of the splits: {unused}")
    report_notes(data_notes(run), console)


def data_notes(run: Run) -> list[str]:
    """Lists notes on the data, and on texts that two splits share."""
    splits, episodes = run.splits, (run.train, run.valid, run.test)
    parts = [splits.train, splits.valid, splits.test]
    parts += [e.examples for e in episodes if isinstance(e, Episodes)]
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    of_splits = {"train": run.train, "valid": run.valid, "test": run.test}
    in_memory = {n: e for n, e in of_splits.items() if isinstance(e, Episodes)}
    notes += context_notes(run.config, run.model, in_memory)
    if shared := count_shared(splits.test.texts, splits.train.texts):
        notes.append(
            f"texts of meta-test that occur in meta-train too: {shared}; leave them out"
            " of one of the two."
        )
    return notes
