"""Tokenized texts of a split, and arrays of episodes of them.

An encoder takes texts as input; a generative model takes prompts and target texts, or
texts with classes or choices whose likelihoods are compared. There is a class for each
of the three.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from metaflax import base, data, tasks
from metaflax.config import Config
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
from metaflax.workflows.runs._buckets import (
    close_buckets,
    coarse_buckets,
    coarse_up_to,
)
from metaflax.workflows.runs._loaded_model import LoadedModel


class EpisodeTexts(Protocol):
    """Interface of the tokenized texts of a split."""

    def collate(
        self,
        episodes: Sequence[data.Episode],
        sizes: EpisodeSizes,
        share: np.ndarray | None = None,
    ) -> base.Task:
        """Stacks episodes as arrays of tokens, or a share of the stack."""
        ...

    def num_shapes(self, sizes: EpisodeSizes) -> int:
        """Returns the largest number of distinct batch shapes."""
        ...

    def example_lengths(self) -> np.ndarray:
        """Counts the tokens of each example in the context of another, `[U]`."""
        ...

    def truncation(self) -> str:
        """Describes what was truncated, for a message; empty if nothing was."""
        ...

    def closely_padded(self) -> "EpisodeTexts":
        """Returns the same texts with close buckets, see `close_buckets`."""
        ...


@dataclasses.dataclass(frozen=True)
class EncodedTexts:
    """Texts for an encoder.

    Attributes:
      tokenized: their tokens.
      buckets: shapes that batches are padded to.
      codes: target of each token; None unless the task type labels tokens.
    """

    tokenized: data.TokenizedTexts
    buckets: data.Buckets
    codes: TokenCodes | None = None

    def collate(
        self,
        episodes: Sequence[data.Episode],
        sizes: EpisodeSizes,
        share: np.ndarray | None = None,
    ) -> base.Task:
        """Stacks episodes; see `EpisodeTexts`."""
        return data.collate(
            episodes,
            self.tokenized,
            buckets=self.buckets,
            codes=self.codes,
            share=share,
            **sizes._asdict(),
        )

    def num_shapes(self, sizes: EpisodeSizes) -> int:
        """Returns the number of shapes; a text of several windows has several rows."""
        owners = self.tokenized.owners
        windows = 1 if owners is None else int(np.bincount(owners).max())
        return self.buckets.num_shapes(sizes.num_support, sizes.num_queries, windows)

    def example_lengths(self) -> np.ndarray:
        """Counts the tokens of each row."""
        return self.tokenized.lengths

    def truncation(self) -> str:
        """Describes truncated texts, and targets that were lost with them."""
        tokenized, notes = self.tokenized, []
        if tokenized.num_truncated:
            longest = int(tokenized.widths.max())
            notes.append(f"{tokenized.num_truncated} truncated to {longest} tokens")
        if tokenized.num_lost:
            notes.append(f"an entity lost in {tokenized.num_lost}")
        if self.codes is not None and self.codes.num_lost:
            notes.append(f"{self.codes.num_lost} targets cut off")
        return _listed(notes)

    def closely_padded(self) -> "EncodedTexts":
        """Pads less; see `EpisodeTexts`."""
        return dataclasses.replace(self, buckets=close_buckets(self.tokenized))


@dataclasses.dataclass(frozen=True)
class PromptedTexts:
    """Prompts and target texts for a generative model.

    Attributes:
      pairs: tokens of prompts and targets.
      buckets: shapes that batches are padded to.
    """

    pairs: TokenizedPairs
    buckets: data.Buckets

    def collate(
        self,
        episodes: Sequence[data.Episode],
        sizes: EpisodeSizes,
        share: np.ndarray | None = None,
    ) -> base.Task:
        """Stacks episodes; see `EpisodeTexts`."""
        return collate_pairs(
            episodes, self.pairs, buckets=self.buckets, share=share, **sizes._asdict()
        )

    def num_shapes(self, sizes: EpisodeSizes) -> int:
        """Returns the number of shapes."""
        return self.buckets.num_shapes(sizes.num_support, sizes.num_queries)

    def example_lengths(self) -> np.ndarray:
        """Counts the tokens of prompt and target, the last token included."""
        return self.pairs.inputs.lengths + 1  # The last token is no input.

    def truncation(self) -> str:
        """Describes truncated prompts and truncated texts."""
        layout, notes = self.pairs.layout, []
        if cut := self.pairs.prompts.num_truncated:
            notes.append(
                f"{cut} of the prompts truncated to {layout.max_source_length} tokens"
            )
        if cut := self.pairs.inputs.num_truncated:
            notes.append(
                f"{cut} of the targets truncated to {layout.max_target_length} tokens"
            )
        return _listed(notes)

    def closely_padded(self) -> "PromptedTexts":
        """Pads less; see `EpisodeTexts`."""
        buckets = close_buckets(self.pairs.prompts, self.pairs.inputs)
        return dataclasses.replace(self, buckets=buckets)


@dataclasses.dataclass(frozen=True)
class TextsWithChoices:
    """Texts with classes or choices whose likelihoods a generative model compares.

    Attributes:
      examples: the texts.
      written: tokenized texts with their choices, by a template.
      names: names of the classes; empty if each text has choices of its own.
      only_gold: whether support examples have their gold choice only.
    """

    examples: data.Examples
    written: WrittenChoices
    names: Sequence[str]
    only_gold: bool = False

    def collate(
        self,
        episodes: Sequence[data.Episode],
        sizes: EpisodeSizes,
        share: np.ndarray | None = None,
    ) -> base.Task:
        """Stacks episodes; see `EpisodeTexts`."""
        return collate_choices(
            episodes,
            self.written,
            self.names,
            sizes,
            only_gold=self.only_gold,
            share=share,
        )

    def num_shapes(self, sizes: EpisodeSizes) -> int:
        """Returns the number of shapes of texts with their gold choice."""
        buckets = coarse_up_to(int(self.example_lengths().max()))
        return buckets.num_shapes(sizes.num_support, sizes.num_queries)

    def example_lengths(self) -> np.ndarray:
        """Counts the tokens of each text with its gold choice."""
        return example_lengths(self.written, self.examples)

    def truncation(self) -> str:
        """Describes truncated texts."""
        if not self.written.num_truncated:
            return ""
        longest = int(self.example_lengths().max())
        return f", {self.written.num_truncated} truncated to {longest} tokens"

    def closely_padded(self) -> "TextsWithChoices":
        """Returns the same texts, whose padding depends on their choices."""
        return self


def texts_of(
    examples: data.Examples,
    names: Sequence[str],
    config: Config,
    task: tasks.TaskType,
    model: LoadedModel,
    further: Sequence[Any] = (),
) -> EpisodeTexts:
    """Tokenizes examples for a task type and a model.

    Args:
      examples: the texts.
      names: names of the classes, in the order of their numbers.
      config: config with the lengths of texts and the handling of longer ones.
      task: the task type.
      model: whose tokenizer encodes them.
      further: further inputs of an encoder, which follow those of the examples, such
        as names of classes.

    Raises:
      ValueError: if a text is too long.
    """
    if task.texts is not None:
        targets = examples.targets or ()
        pairs = model.tokenize_pairs(examples.texts, targets, config.data, task.texts)
        # A shape has four token budgets: prompts and targets of support and query set.
        longest = {int(np.max(x.widths)) for x in (pairs.prompts, pairs.inputs)}
        buckets = data.Buckets(tuple(sorted(longest)), budget_ratio=2.0)
        return PromptedTexts(pairs, buckets)
    if task.template is not None:
        settings = config.algorithm
        written = model.write_choices(
            examples.texts, names, config.data, task, calibrate=settings.calibrate
        )
        only_gold = resolve_algorithm(settings.name).in_context
        return TextsWithChoices(examples, written, names, only_gold)
    tokenized = model.tokenize((*examples.texts, *further), config.data, task.form)
    codes = codes_of(examples, names, tokenized, task)
    return EncodedTexts(tokenized, coarse_buckets(tokenized), codes)


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


def _listed(notes: Sequence[str]) -> str:
    return "".join(f", {note}" for note in notes)
