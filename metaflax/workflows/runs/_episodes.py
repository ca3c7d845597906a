"""Splits and episodes of a config."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax import base, data, target_kinds, tasks
from metaflax._wording import counted
from metaflax.config import Config, DataConfig, EpisodeConfig
from metaflax.config._factories import resolve_algorithm
from metaflax.data.batching._choice_batches import (
    WrittenChoices,
    collate_choices,
    example_lengths,
)
from metaflax.data.batching._seq2seq_batches import collate_pairs
from metaflax.data.batching._seq2seq_tokens import TokenizedPairs
from metaflax.data.batching._token_codes import TokenCodes, token_codes
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.data.samplers._rare_classes import without_rare_classes
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._more_training import with_more_training
from metaflax.data.sources._splits import split_by_names, split_by_seed
from metaflax.workflows.runs._data_record import record_examples
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
      config: names of columns, and how rows are read.
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
    """The episodes of one split.

    Attributes:
      examples: examples that episodes are sampled from.
      tokenized: tokens of the examples.
      sampler: sampler of episodes.
      buckets: shapes that batches are padded to.
      codes: target of each token; None unless the task type labels tokens.
      room: number of classes to pad to, if larger than that of the sampler.
      pairs: tokenized prompts and target texts; None unless the task type generates.
      choices: texts and choices that a template wrote; None without one.
      only_gold: whether support examples come with their right choice alone.
    """

    examples: data.Examples
    tokenized: data.TokenizedTexts
    sampler: data.Sampler
    buckets: data.Buckets
    codes: TokenCodes | None = None
    room: int = 0
    pairs: TokenizedPairs | None = None
    choices: WrittenChoices | None = None
    only_gold: bool = False

    @property
    def sizes(self) -> EpisodeSizes:
        """Size of the largest episode, with padded classes."""
        sizes = self.sampler.sizes
        return sizes._replace(num_classes=max(self.room, sizes.num_classes))

    @property
    def example_lengths(self) -> np.ndarray:
        """Number of tokens of each example of a generative task type in a context."""
        if self.choices is not None:
            return example_lengths(self.choices, self.examples)
        assert self.pairs is not None
        return self.pairs.inputs.lengths + 1  # The last token is no input.

    @property
    def num_texts(self) -> int:
        """Number of texts that episodes are sampled from."""
        return len(self.examples)

    @property
    def num_shapes(self) -> int:
        """Largest number of distinct batch shapes."""
        owners = self.tokenized.owners
        windows = 1 if owners is None else int(np.bincount(owners).max())
        _, num_support, num_queries = self.sizes
        return self.buckets.num_shapes(num_support, num_queries, windows)

    def collate(
        self, episodes: Sequence[data.Episode], share: np.ndarray | None = None
    ) -> base.Task:
        """Stacks episodes as arrays of tokens, or a share of the stack."""
        if self.choices is not None:
            return collate_choices(
                episodes,
                self.choices,
                self.examples.label_names,
                self.sizes,
                only_gold=self.only_gold,
                share=share,
            )
        if self.pairs is not None:
            sizes = self.sizes._asdict()
            return collate_pairs(
                episodes, self.pairs, buckets=self.buckets, share=share, **sizes
            )
        return data.collate(
            episodes,
            self.tokenized,
            buckets=self.buckets,
            codes=self.codes,
            share=share,
            **self.sizes._asdict(),
        )

    def stream(
        self, seed: int, step: int, size: int, share: np.ndarray | None = None
    ) -> Iterator[base.Task]:
        """Yields the batches of `step` and all later ones, or a share of each."""
        return batches(self.sampler, self.collate, seed, step, size, share)

    def record(self) -> dict[str, Any]:
        """Returns the record of the texts, to tell when they change."""
        return record_examples(self.examples)

    def summary(self, by: str) -> str:
        """Describes the texts for a message, by `label` or by `domain`."""
        examples = self.examples
        groups = examples.label_names if by == "label" else examples.domain_names
        kind = {"label": "classes", "domain": "domains"}[by]
        description = ", ".join(groups) if len(groups) < 8 else f"{len(groups)} {kind}"
        if isinstance(self.sampler, WithVariants):
            num_variants = int(self.sampler.variants.counts.sum())
            description += f", {num_variants} variants of them"
        truncation = (
            losses_of_cutting(self.tokenized, self.codes)
            if self.pairs is None
            else losses_of_cutting_pairs(self.pairs)
        )
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
    tokenized = model.tokenize(variants.texts, config.data, task.form)
    return Episodes(
        examples,
        tokenized,
        WithVariants(sampler, variants, rate),
        coarse_buckets(tokenized),
    )


def _without_rare_classes(
    examples: data.Examples, sizes: EpisodeConfig, config: DataConfig
) -> data.Examples:
    """Leaves out classes that are too small for the sizes, if the config says so."""
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
) -> Episodes:
    """Tokenizes examples and builds the episodes of a sampler.

    Raises:
      ValueError: if a text is too long.
    """
    if task.texts is not None:
        return _generative_episodes(examples, sampler, config.data, task, model)
    if task.template is not None:
        return _choice_episodes(examples, sampler, config, task, model)
    tokenized = model.tokenize(examples.texts, config.data, task.form)
    codes = codes_of(examples, examples.label_names, tokenized, task)
    return Episodes(examples, tokenized, sampler, coarse_buckets(tokenized), codes)


def _generative_episodes(
    examples: data.Examples,
    sampler: data.Sampler,
    config: DataConfig,
    task: tasks.TaskType,
    model: LoadedModel,
) -> Episodes:
    """Builds the episodes of a generative task type."""
    assert task.texts is not None
    targets = examples.targets or ()
    pairs = model.tokenize_pairs(examples.texts, targets, config, task.texts)
    # A shape has four token budgets: of prompts and targets, in support and query.
    buckets = dataclasses.replace(
        coarsest_buckets(pairs.prompts, pairs.inputs), budget_ratio=2.0
    )
    return Episodes(examples, pairs.inputs, sampler, buckets, pairs.codes, pairs=pairs)


def _choice_episodes(
    examples: data.Examples,
    sampler: data.Sampler,
    config: Config,
    task: tasks.TaskType,
    model: LoadedModel,
) -> Episodes:
    """Builds the episodes of classes or choices whose likelihoods are compared."""
    names, settings = examples.label_names, config.algorithm
    written = model.write_choices(
        examples.texts, names, config.data, task, calibrate=settings.calibrate
    )
    lengths = example_lengths(written, examples)
    rows = np.zeros(int(lengths.sum()), np.int32)
    tokenized = data.TokenizedTexts(rows, np.concatenate([[0], np.cumsum(lengths)]))
    tokenized = dataclasses.replace(tokenized, num_truncated=written.num_truncated)
    return Episodes(
        examples,
        tokenized,
        sampler,
        coarse_buckets(tokenized),
        choices=written,
        only_gold=resolve_algorithm(settings.name).in_context,
    )


def codes_of(
    examples: data.Examples,
    names: Sequence[str],
    tokenized: data.TokenizedTexts,
    task: tasks.TaskType,
) -> TokenCodes | None:
    """Computes the target of each token; None unless the task type labels tokens."""
    if task.tokens is None:
        return None
    targets = examples.targets or ()
    return token_codes(task.tokens, examples.texts, targets, tokenized, names)


def coarsest_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds buckets of about one shape, for adaptation that compiles slowly."""
    longest = {int(np.max(texts.lengths)) for texts in tokenized}
    return data.Buckets(tuple(sorted(longest)), budget_ratio=1.5)


def coarse_buckets(*tokenized: data.TokenizedTexts) -> data.Buckets:
    """Builds coarse buckets, since each shape of a step takes seconds to compile."""
    return coarse_up_to(max(int(np.max(texts.lengths)) for texts in tokenized))


def coarse_up_to(longest: int) -> data.Buckets:
    """Builds coarse buckets for texts of up to `longest` tokens."""
    lengths = [n for n in (32, 64, 128, 256) if n < longest]
    return data.Buckets((*lengths, longest), budget_ratio=1.5)


def losses_of_cutting(
    tokenized: data.TokenizedTexts, codes: TokenCodes | None = None
) -> str:
    """Describes truncation of texts for a message; empty if there was none."""
    notes = []
    if tokenized.num_truncated:
        longest = int(tokenized.lengths.max())
        notes.append(f"{tokenized.num_truncated} truncated to {longest} tokens")
    if tokenized.num_lost:
        notes.append(f"an entity lost in {tokenized.num_lost}")
    if codes is not None and codes.num_lost:
        notes.append(f"{codes.num_lost} targets cut off")
    return "".join(f", {note}" for note in notes)


def losses_of_cutting_pairs(pairs: TokenizedPairs) -> str:
    """Describes truncation of prompts and target texts; empty if there was none."""
    layout, notes = pairs.layout, []
    if cut := pairs.prompts.num_truncated:
        notes.append(
            f"{cut} of the prompts truncated to {layout.max_source_length} tokens"
        )
    if cut := pairs.inputs.num_truncated:
        notes.append(
            f"{cut} of the targets truncated to {layout.max_target_length} tokens"
        )
    return "".join(f", {note}" for note in notes)
