"""A run: everything a config names, loaded and checked."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, tasks, training
from metaflax.workflows.runs._encoder_scorers import LogitScorer, TokenScorer
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
from metaflax.workflows.runs._smlmt_source import load_masked_words
from metaflax.workflows.runs._streamed_episodes import FromDisk
from metaflax.workflows.runs._text_scorer import TextScorer

E = TypeVar("E", bound=Episodes | FromDisk)


class Run(NamedTuple):
    """Everything a config names, loaded and checked, nothing compiled yet.

    Attributes:
      config: the config.
      model: encoder or language model, weights, tokenizer.
      task: the task type.
      splits: examples of disjoint classes or domains.
      train: episodes of meta-training.
      valid: episodes of validation.
      test: episodes of meta-test.
    """

    config: config_lib.Config
    model: LoadedModel
    task: tasks.TaskType
    splits: data.Splits
    train: Episodes | FromDisk
    valid: Episodes
    test: Episodes

    def evaluator(self, episodes: Episodes, seed: int, num: int) -> Evaluator:
        """Scores `num` episodes of a seed."""
        room = roomy(self, episodes)
        return evaluator_of(self.config, self.model, self.task, room, seed, num)

    def test_evaluator(self) -> Evaluator:
        """Scores the test episodes that the config names."""
        wanted = self.config.evaluation
        return self.evaluator(self.test, wanted.test_seed, wanted.test_episodes)


def evaluator_of(
    config: config_lib.Config,
    model: LoadedModel,
    task: tasks.TaskType,
    episodes: Episodes,
    seed: int,
    num: int,
) -> Evaluator:
    """Scores `num` episodes of a seed, by logits, tokens or generated texts."""
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
    """Refuses to meta-train what has no meta-gradient."""
    if config_lib.resolve_algorithm(config.algorithm.name).is_baseline:
        raise ValueError(
            f"{config.algorithm.name} is a baseline without a meta-gradient; name"
            " it with `evaluate --baselines`, or train another algorithm."
        )


def load_run(
    config: config_lib.Config, load: Callable[[], LoadedModel] | None = None
) -> Run:
    """Loads model and data, and checks that all of the config can be done.

    Args:
      config: of the run.
      load: gives the model; by default that of the config is loaded.

    Raises:
      ValueError: with the first thing that cannot.
    """
    config_lib.check(config)
    task = config_lib.build_task(config)
    config_lib.resolve_algorithm(config.algorithm.name)
    loader = _on_disk if config.data.on_disk else _labelled
    if task.raw_text:
        loader = _raw_text
    loaded = loader(config, task, load or (lambda: load_model(config.model, task)))

    def episodes(examples: data.Examples) -> Episodes:
        return make_episodes(examples, config.episodes, config, task, loaded.model)

    return Run(
        config,
        loaded.model,
        task,
        loaded.splits,
        train=loaded.train,
        valid=episodes(loaded.splits.valid),
        test=episodes(loaded.splits.test),
    )


class Loaded(NamedTuple):
    """A model, and data of which its tokenizer reads what is trained on.

    Attributes:
      model: encoder or language model.
      splits: examples, those of training where they are labelled.
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
    splits = load_splits(config.data, task)  # First: a model may have to be fetched.
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
    found = labelled_on_disk(config)
    model = load()
    train = FromDisk(
        found.sampler, model, config, task.form, found.num_texts, found.said
    )
    return Loaded(model, found.splits, train)


def initial_params(run: Run) -> Any:
    """The meta-parameters before the first step: pretrained, and a new head."""
    algorithm = training_algorithm(run)
    return committed(algorithm.init(jax.random.key(run.config.training.seed)))


def committed(arrays: Any) -> Any:
    """The arrays, bound to the first device as those of a checkpoint are.

    Else everything would be compiled again when it first meets the latter.
    """
    return jax.device_put(arrays, jax.local_devices()[0])


def training_algorithm(run: Run):
    """The algorithm as meta-training runs it.

    Its head has room for the widest episode of all three splits, so that a learned
    output layer can be evaluated wherever it is trained. A task works on the words it
    reads, unless that would change the answer.
    """
    algorithm = config_lib.build_algorithm(
        run.config.algorithm,
        run.model.encoder,
        run.model.init,
        run.task,
        num_classes(run),
    )
    return run.model.compact(algorithm)


def num_classes(run: Run) -> int:
    """N, the most classes of any episode."""
    return max(e.sizes.num_classes for e in (run.train, run.valid, run.test))


def learns_output_layer(run: Run) -> bool:
    """Whether the head has parameters per class, which fix the number of classes."""
    num_features, settings = run.model.encoder.num_features, run.config.algorithm
    head = config_lib.build_head(settings, num_features, run.task, num_classes(run))
    return head.per_class


def roomy(run: Run, episodes: E) -> E:
    """The episodes, with the room for classes that a learned output layer has."""
    room = num_classes(run) if learns_output_layer(run) else 0
    return episodes._replace(room=room)


class Trained(NamedTuple):
    """What a run directory gives without the data that it was trained on.

    Attributes:
      config: of the run.
      model: encoder or language model, pretrained weights, tokenizer.
      params: the meta-parameters that validated best.
      num_classes: for how many the head was made.
    """

    config: config_lib.Config
    model: LoadedModel
    params: Any
    num_classes: int


def load_trained(run_dir: str | Path) -> Trained:
    """The best of a finished run.

    Raises:
      ValueError: if there is no run, or it has not finished.
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    selected = directory.selected()
    untrained = load_untrained(config, selected["num_classes"])
    return untrained._replace(params=best_params(directory, untrained.params))


def load_untrained(config: config_lib.Config, num_classes: int) -> Trained:
    """The same before any step: pretrained, with a new head for so many classes."""
    task = config_lib.build_task(config)
    model = load_model(config.model, task)
    algorithm = config_lib.build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        num_classes,
    )
    params = algorithm.init(jax.random.key(config.training.seed))
    return Trained(config, model, committed(params), num_classes)


def fitted(trained: Trained) -> Trained:
    """Returns the same, with texts no longer than the model takes."""
    texts = trained.model.fitted(trained.config.data)
    return trained._replace(config=dataclasses.replace(trained.config, data=texts))


def best_params(directory: RunDirectory, start: Any) -> Any:
    """The meta-parameters of a run that validated best.

    Args:
      directory: of the run.
      start: its parameters before the first step.

    Returns:
      Parameters of the same structure.

    Raises:
      ValueError: if the run has not finished.
    """
    selected = directory.selected()
    checkpoints = training.Checkpoints(directory.checkpoints, read_only=True)
    try:
        best = checkpoints.read_params(start, selected["best_step"])
    finally:
        checkpoints.close()
    share = selected["share"]
    return best if share == 1 else training.interpolate(start, best, share)


def report_data(run: Run, console: Console) -> None:
    """Says what was read, and what was left out."""
    for name in ("train", "valid", "test"):
        source = getattr(run, name)
        console.print(f"meta-{name}: {source.summary(run.config.data.split_by)}")
    if dropped := run.splits.train.num_unlabelled:
        console.print(f"without a label, and left out: {dropped} texts")
    if run.splits.num_unused:
        console.print(f"in none of the splits: {run.splits.num_unused} texts")
