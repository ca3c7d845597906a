"""Splits and episodes of a config."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax import base, data, target_kinds, tasks
from metaflax._wording import counted
from metaflax.config import Config, DataConfig, EpisodeConfig
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.data.samplers._named_classes import WithLabelNames
from metaflax.data.samplers._rare_classes import without_rare_classes
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.data.sources._more_training import with_more_training
from metaflax.data.sources._splits import split_by_names, split_by_seed
from metaflax.workflows.runs._data_record import record_examples
from metaflax.workflows.runs._episode_texts import EpisodeTexts, texts_of
from metaflax.workflows.runs._loaded_model import LoadedModel


def columns(config: DataConfig) -> dict[str, str]:
    """Returns the column names of the data by role."""
    return {
        "text": config.text,
        "text_pair": config.text_pair,
        "label": config.label,
        "target": config.target,
    }


def load_splits(config: DataConfig, task: tasks.TaskType) -> data.Splits:
    """Reads the examples and splits their classes or domains.

    Raises:
      ValueError: if the data or the split are invalid.
    """
    if not config.path:
        raise ValueError("no data is named; give --data FILE.")
    if config.path == "scored-texts":
        examples = data.scored_texts()
    else:
        examples = read_examples(
            config.path,
            config,
            task,
            domain=config.domain,
            variants=config.variants,
            split=config.split,
        )
    splits = _split(examples, config)
    if config.more_train is None:
        return splits
    more = read_examples(config.more_train, config, task, domain=config.domain)
    return with_more_training(splits, more, config.split_by)


def all_inputs(config: DataConfig, task: tasks.TaskType) -> Iterator[Any]:
    """Reads the inputs of all splits.

    Raises:
      ValueError: as `load_splits`.
    """
    splits = load_splits(config, task)
    for examples in (splits.train, splits.valid, splits.test):
        yield from examples.texts


def read_examples(
    source: str | Path,
    config: DataConfig,
    task: tasks.TaskType,
    *,
    domain: str | None = None,
    variants: str | None = None,
    split: str | None = None,
) -> data.Examples:
    """Reads labelled examples by the columns and rules of a config.

    Args:
      source: see `data.read`.
      config: config with the names of columns and rules for reading rows.
      task: task type.
      domain: column of domains, if any.
      variants: column of variants, if any.
      split: split of the source, if it has several.

    Raises:
      ValueError: if they are invalid.
    """
    return data.read(
        source,
        task=task,
        domain=domain,
        variants=variants,
        split=split,
        encoding=config.encoding,
        unlabelled=config.unlabelled,
        label_separator=config.label_separator,
        **columns(config),
    )


def _split(examples: data.Examples, config: DataConfig) -> data.Splits:
    if config.split_names is not None:
        return split_by_names(examples, config.split_names, config.split_by)
    if config.split_file is not None:
        return data.split_by_file(
            examples, config.split_file, config.fold, config.split_by
        )
    return split_by_seed(examples, config.split_seed, by=config.split_by)


class Episodes(NamedTuple):
    """Episodes of one split.

    Attributes:
      examples: examples that episodes are sampled from.
      texts: tokens of the examples, from which arrays of episodes are made.
      sampler: sampler of episodes.
      room: number of classes to pad to, if larger than that of the sampler.
      names: texts of the class names, whose tokens follow those of the examples; None
        if names are not used.
    """

    examples: data.Examples
    texts: EpisodeTexts
    sampler: data.Sampler
    room: int = 0
    names: LabelTexts | None = None

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Inputs in the order of the tokens: the examples, then the class names."""
        names = () if self.names is None else self.names.inputs
        return (*self.examples.texts, *names)

    @property
    def sizes(self) -> EpisodeSizes:
        """Size of the largest episode, with padded classes."""
        sizes = self.sampler.sizes
        return sizes._replace(num_classes=max(self.room, sizes.num_classes))

    @property
    def num_texts(self) -> int:
        """Number of texts that episodes are sampled from."""
        return len(self.examples)

    @property
    def num_shapes(self) -> int:
        """Largest number of distinct batch shapes."""
        return self.texts.num_shapes(self.sizes)

    def collate(
        self, episodes: Sequence[data.Episode], share: np.ndarray | None = None
    ) -> base.Task:
        """Stacks episodes as arrays of tokens, or a share of the stack."""
        return self.texts.collate(episodes, self.sizes, share)

    def stream(
        self, seed: int, step: int, size: int, share: np.ndarray | None = None
    ) -> Iterator[base.Task]:
        """Yields the batches of `step` and all later ones, or a share of each."""
        return batches(self.sampler, self.collate, seed, step, size, share)

    def record(self) -> dict[str, Any]:
        """Returns the record of the texts, to tell when they change."""
        names = () if self.names is None else self.names.texts
        return record_examples(self.examples, names)

    def summary(self, by: str) -> str:
        """Describes the texts for a message, by `label` or by `domain`."""
        examples = self.examples
        groups = examples.label_names if by == "label" else examples.domain_names
        kind = {"label": "classes", "domain": "domains"}[by]
        description = ", ".join(groups) if len(groups) < 8 else f"{len(groups)} {kind}"
        if isinstance(self.sampler, WithVariants):
            num_variants = int(self.sampler.variants.counts.sum())
            description += f", {num_variants} variants of them"
        if self.names is not None:
            description += f", {len(self.names.inputs)} names of classes"
        truncation = self.texts.truncation()
        return f"{counted(len(examples), 'text')} of {description}{truncation}"


def batches(
    sampler: data.Sampler,
    collate: Callable[[list[data.Episode], np.ndarray | None], base.Task],
    seed: int,
    step: int,
    size: int,
    share: np.ndarray | None = None,
) -> Iterator[base.Task]:
    """Yields the batches of `step` and all later ones, `size` episodes each.

    Each of several processes collates a share of every batch. All of them sample the
    whole batch, which is cheap, because its shape depends on all of its texts.
    """
    while True:
        first = step * size
        yield collate([sampler.episode(seed, first + i) for i in range(size)], share)
        step += 1


def make_episodes(
    examples: data.Examples,
    sizes: EpisodeConfig,
    config: Config,
    task: tasks.TaskType,
    model: LoadedModel,
) -> Episodes:
    """Tokenizes a split and builds its episodes.

    Raises:
      ValueError: if a class is too small for the sizes, or a text too long.
    """
    examples = _without_rare_classes(examples, sizes, config.data)
    sampler = target_kinds.of(task).sampler(examples, sizes)
    return episodes_of(examples, sampler, config, task, model)


def make_training_episodes(
    examples: data.Examples,
    sizes: EpisodeConfig,
    config: Config,
    task: tasks.TaskType,
    model: LoadedModel,
) -> Episodes:
    """Builds the episodes of meta-training, whose texts may be replaced by variants.

    Raises:
      ValueError: under the same conditions as `make_episodes`.
    """
    rate = config.data.variant_rate
    if examples.variants is None or not rate or task.texts is not None:
        return make_episodes(examples, sizes, config, task, model)
    examples = _without_rare_classes(examples, sizes, config.data)
    variants = Variants.of(examples)
    sampler = target_kinds.of(task).sampler(examples, sizes)
    further = variants.texts[len(examples) :]
    episodes = episodes_of(examples, sampler, config, task, model, further)
    return episodes._replace(sampler=WithVariants(episodes.sampler, variants, rate))


def _without_rare_classes(
    examples: data.Examples, sizes: EpisodeConfig, config: DataConfig
) -> data.Examples:
    """Removes classes that are too small for the sizes, if the config says so."""
    if config.rare_classes == "error":
        return examples
    return without_rare_classes(examples, texts_of_a_class(sizes))


def most(count: int | tuple[int, int]) -> int:
    """Returns the upper end of a count or of a (least, most) range."""
    return count if isinstance(count, int) else count[1]


def texts_of_a_class(sizes: EpisodeConfig) -> int:
    """Returns the largest number of texts that an episode needs of a class."""
    return most(sizes.shot) + most(sizes.queries)


def episodes_of(
    examples: data.Examples,
    sampler: data.Sampler,
    config: Config,
    task: tasks.TaskType,
    model: LoadedModel,
    further: Sequence[Any] = (),
) -> Episodes:
    """Tokenizes examples and builds the episodes of a sampler.

    Class names are added to the support sets if the config says so.

    Args:
      examples: the texts.
      sampler: sampler of episodes of them.
      config: config of the run.
      task: the task type.
      model: model whose tokenizer encodes them.
      further: inputs that follow those of the examples, such as variants.

    Raises:
      ValueError: if a text is too long, or a class has no description.
    """
    names = names_of_classes(examples.label_names, config.data, task)
    if names is not None:
        sampler = WithLabelNames(sampler, names, len(examples) + len(further))
        further = (*further, *names.inputs)
    texts = texts_of(examples, examples.label_names, config, task, model, further)
    return Episodes(examples, texts, sampler, names=names)


def names_of_classes(
    names: Sequence[str], config: DataConfig, task: tasks.TaskType
) -> LabelTexts | None:
    """Makes texts of the class names; None if the config does not use them.

    Raises:
      ValueError: if a class has no description.
    """
    as_input = task.form.of_name
    if as_input is None:
        return None  # `config.check` refuses such settings.
    weight = config.label_name_weight
    return LabelTexts.of(names, config.label_names, weight, as_input)
