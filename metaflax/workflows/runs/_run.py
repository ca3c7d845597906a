"""Runs: the model, task type and episodes of a config."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax

from metaflax import config as config_lib
from metaflax import data, tasks
from metaflax.config._factories import build_algorithm, build_head, resolve_algorithm
from metaflax.workflows.runs import _data_record as data_record
from metaflax.workflows.runs._encoder_scorers import LogitScorer, TokenScorer
from metaflax.workflows.runs._episodes import (
    Episodes,
    load_splits,
    make_episodes,
    make_training_episodes,
)
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._labelled_on_disk import labelled_on_disk
from metaflax.workflows.runs._load_model import load_model
from metaflax.workflows.runs._loaded_model import LoadedModel
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
