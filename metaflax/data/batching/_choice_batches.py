"""Batches of texts with choices, as a template writes them, for generative models.

A row of tokens is what all choices of a text share, then what differs, choice by
choice: see `models.generation._choices.Choices`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaflax import base, tasks
from metaflax.data.batching._batching import Buckets, _packed
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples
from metaflax.models import Tokens
from metaflax.models.generation._choices import Choices
from metaflax.tasks._templates import Template, cut_values, plain_tokens, value_text

# Lengths that rows are padded to.
_BUCKETS = Buckets(
    tuple(sorted({*(2**n for n in range(4, 15)), *(3 * 2**n for n in range(3, 13))})),
    budget_ratio=1.5,
)


class _Part(NamedTuple):
    """Part of what a template writes.

    Attributes:
      role: column that it holds; None for a literal.
      is_scored: whether the likelihood of its tokens counts.
      literal: tokens of a literal.
      values: for a column the tokens of each text, and for labels those of each label.
    """

    role: str | None
    is_scored: bool
    literal: Sequence[int] = ()
    values: Any = None


@dataclasses.dataclass(frozen=True)
class WrittenChoices:
    """Tokens of texts and their choices, as a template writes them.

    Attributes:
      parts: what the template writes, in order.
      choices: choices of each text; None where they are the classes of an episode.
      end: token that ends a target.
      mean: whether the score of a choice is the mean of its tokens', or their sum.
      coverage: int64 `[texts, 2]`, the number of tokens of each text that its row has,
        and of the whole text, both with those of the template.
      content_free: the parts for texts without content, whose rows calibrate scores;
        empty for no calibration.
      pad_id: token of padding.
    """

    parts: tuple[_Part, ...]
    choices: tuple[tuple[str, ...], ...] | None
    end: int
    mean: bool
    coverage: np.ndarray
    content_free: tuple[tuple[_Part, ...], ...] = ()
    pad_id: int = 0

    @property
    def num_truncated(self) -> int:
        """Number of texts that were truncated."""
        return int(np.sum(self.coverage[:, 0] < self.coverage[:, 1]))

    def choices_of(self, number: int, classes: Sequence[str]) -> Sequence[str]:
        """Returns the choices of a text, where it has none those of its episode."""
        return classes if self.choices is None else self.choices[number]

    def row(
        self, number: int, names: Sequence[str], parts: Sequence[_Part] | None = None
    ) -> "_Row":
        """Writes a text with these choices."""
        shared: list[int] = []
        branches: list[list[int]] = [[] for _ in names]
        scored: list[list[bool]] = [[] for _ in names]
        has_label = False
        for part in self.parts if parts is None else parts:
            has_label |= part.role == "label"
            if not has_label:
                shared += part.literal if part.role is None else part.values[number]
                continue
            for place, name in enumerate(names):
                tokens = part.literal
                if part.role is not None:
                    tokens = part.values[name if part.role == "label" else number]
                branches[place] += tokens
                scored[place] += [part.is_scored] * len(tokens)
        return _row(shared, branches, scored, self.end, self.mean)


class _Row(NamedTuple):
    ids: np.ndarray
    branches: np.ndarray
    weights: np.ndarray
    num_choices: int


def _row(
    shared: Sequence[int],
    branches: Sequence[Sequence[int]],
    scored: Sequence[Sequence[bool]],
    end: int,
    mean: bool,
) -> _Row:
    ids, numbers = list(shared), [0] * len(shared)
    weights = [0.0] * len(shared)
    for number, (branch, counts) in enumerate(zip(branches, scored, strict=True), 1):
        ids += [*branch, end]
        numbers += [number] * (len(branch) + 1)
        total = sum(counts) + 1
        each = 1 / total if mean else 1.0
        weights += [each * count for count in (*counts, True)]
    return _Row(
        np.array(ids, np.int32),
        np.array(numbers, np.int32),
        np.array(weights, np.float32),
        len(branches),
    )


def write_choices(
    tokenizer: Any,
    texts: Sequence[Any],
    task: tasks.TaskType,
    names: Sequence[str],
    *,
    max_length: int,
    max_target_length: int,
    end: int,
    calibrate: bool = False,
    on_long: str = "truncate",
) -> WrittenChoices:
    """Tokenizes texts and choices in the parts of a template.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: texts in the task type's form.
      task: task type with a template.
      names: class names, where texts have no choices of their own.
      max_length: most tokens of a text, without its choice.
      max_target_length: most tokens of a choice.
      end: the token that ends targets.
      calibrate: whether to write texts without content too.
      on_long: `error` rejects longer texts, `truncate` cuts them.

    Raises:
      ValueError: if a text or a choice is too long.
    """
    template = task.template
    assert template is not None
    rows = [task.form.row(text) for text in texts]
    choices = None
    labels = list(names)
    if "choices" in task.form.required:
        choices = tuple(tuple(row["choices"]) for row in rows)
        labels = list(dict.fromkeys(name for row in choices for name in row))
    parts = [
        *((text, role, False) for text, role in template.parts("prompt")),
        *((text, role, True) for text, role in template.parts("target")),
    ]
    writer = _PartWriter(tokenizer, template, parts, labels, max_target_length)
    written, coverage = writer.of(rows, max_length, on_long)
    content_free = ()
    if calibrate:
        blank = [
            dict.fromkeys(template.roles(), text) for text in template.content_free
        ]
        content_free = tuple(writer.of([row], max_length, "error")[0] for row in blank)
    return WrittenChoices(
        written,
        choices,
        end,
        template.mean,
        coverage,
        content_free,
        tokenizer.pad_token_id or 0,
    )


class _PartWriter:
    """Writes the parts of rows; literals and labels are tokenized once."""

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        parts: Sequence[tuple[str, str | None, bool]],
        labels: Sequence[str],
        max_label_length: int,
    ):
        self._tokenizer, self._parts = tokenizer, parts
        literals = [text for text, role, _ in parts if role is None]
        self._literals = plain_tokens(tokenizer, literals)
        words = [template.words(label) for label in labels]
        self._labels = {}
        for space in {text for text, role, _ in parts if role == "label"}:
            tokens = plain_tokens(tokenizer, [space + word for word in words])
            self._labels[space] = dict(zip(labels, tokens, strict=True))
            for label, row in self._labels[space].items():
                if not 0 < len(row) < max_label_length:
                    raise ValueError(
                        f"the choice {label[:40]!r} has {len(row)} tokens, and"
                        f" max_target_length is {max_label_length}, the end included;"
                        f" choose {len(row) + 1} or more."
                    )

    def of(
        self, rows: Sequence[Mapping[str, Any]], max_length: int, on_long: str
    ) -> tuple[tuple[_Part, ...], np.ndarray]:
        """Returns the parts with values of all rows, and the rows' coverage."""
        fields = [
            (text, role)
            for text, role, _ in self._parts
            if role is not None and role != "label"
        ]
        values = [
            space + value_text(row, role) for row in rows for space, role in fields
        ]
        tokens = iter(plain_tokens(self._tokenizer, values))
        num_literal = sum(map(len, self._literals))
        room = max_length - num_literal
        columns: list[list[list[int]]] = [[] for _ in fields]
        coverage = np.full((len(rows), 2), num_literal, np.int64)
        for number, row in enumerate(rows):
            whole = [next(tokens) for _ in fields]
            cut = cut_values(whole, row, fields, room)
            coverage[number] += sum(map(len, cut)), sum(map(len, whole))
            if cut != whole and on_long == "error":
                beginning = value_text(row, fields[0][1])[:40]
                raise ValueError(
                    f"example {number} has {sum(map(len, whole))} tokens and the"
                    f" template leaves room for {room}: {beginning!r}..."
                    " Shorten it, raise max_length, or choose on_long='truncate'."
                )
            for column, piece in zip(columns, cut, strict=True):
                column.append(piece)
        literals, held, parts = iter(self._literals), iter(columns), []
        for text, role, is_scored in self._parts:
            if role is None:
                parts.append(_Part(None, is_scored, literal=next(literals)))
            elif role == "label":
                parts.append(_Part(role, is_scored, values=self._labels[text]))
            else:
                parts.append(_Part(role, is_scored, values=next(held)))
        return tuple(parts), coverage


def collate_choices(
    episodes: Sequence[Episode],
    written: WrittenChoices,
    label_names: Sequence[str],
    sizes: EpisodeSizes,
    *,
    only_gold: bool,
    share: Sequence[int] | np.ndarray | None = None,
) -> base.Task:
    """Stacks T episodes into one task of arrays with a leading axis T.

    Args:
      episodes: T episodes of one sampler.
      written: the tokens of the sampler's examples.
      label_names: all class names.
      sizes: sizes of the sampler's episodes.
      only_gold: whether support examples come with their gold choice alone, for a
        context, in an order drawn for each episode.
      share: as for `collate`.

    Returns:
      A task of NumPy arrays: `inputs` are `Choices` of ids `[T, S, L]`; targets are
      int32 `[T, S]`, places among the choices; weights are float32 `[T, S]`. The query
      has Q in place of S, and an L of its own.
    """
    selection = range(len(episodes)) if share is None else list(share)

    def names_of(episode: Episode, number: int) -> Sequence[str]:
        classes = [label_names[c] for c in episode.classes]
        return written.choices_of(number, classes)

    support: list[list[_Row]] = []
    support_targets = []
    for episode in episodes:
        numbers, targets = episode.support, episode.support_targets.astype(np.int32)
        if only_gold:
            order = _order(episode)
            numbers, targets = numbers[order], targets[order]
            gold = [
                (n, [names_of(episode, n)[int(t)]])
                for n, t in zip(numbers, targets, strict=True)
            ]
            support.append([written.row(n, names) for n, names in gold])
            targets = np.zeros_like(targets)
        else:
            support.append([written.row(n, names_of(episode, n)) for n in numbers])
        support_targets.append(targets)
    query = [[written.row(n, names_of(e, n)) for n in e.query] for e in episodes]
    query_targets = [e.query_targets.astype(np.int32) for e in episodes]
    num = sizes.num_classes
    arguments = support, support_targets, sizes.num_support, num, selection
    of_support = stack_rows(*arguments, written.pad_id)
    arguments = query, query_targets, sizes.num_queries, num, selection
    of_query = stack_rows(*arguments, written.pad_id)
    if written.content_free:
        blank = [
            [
                [
                    written.row(0, names_of(e, n), parts)
                    for parts in written.content_free
                ]
                for n in e.query
            ]
            for e in episodes
        ]
        of_query = with_content_free(of_query, blank, sizes, selection, written.pad_id)
    return base.Task(of_support, of_query)


def example_lengths(written: WrittenChoices, examples: Examples) -> np.ndarray:
    """Counts the tokens of each example with its right choice."""
    lengths = []
    for number in range(len(examples)):
        if written.choices is None:
            gold = examples.labels[number][0]
        else:
            assert examples.targets is not None
            gold = written.choices[number][int(examples.targets[number])]
        lengths.append(len(written.row(number, [gold]).ids))
    return np.array(lengths, np.int64)


def _order(episode: Episode) -> np.ndarray:
    """Draws an order of the support examples, the same whenever they are drawn."""
    seed = [int(n) for n in (*episode.support, *episode.query)]
    return np.random.default_rng(seed).permutation(len(episode.support))


def stack_rows(
    rows: Sequence[Sequence[_Row]],
    targets: Sequence[np.ndarray],
    size: int,
    num_choices: int,
    selection: Sequence[int],
    pad_id: int,
) -> base.Batch:
    """Pads rows of T tasks to `[T, size, L]`, in the shapes that all tasks take."""
    longest = max((len(row.ids) for task in rows for row in task), default=1)
    length = _BUCKETS.length(longest)
    most = max(sum(len(row.ids) for row in task) for task in rows)
    budget = min(_BUCKETS.budget(most), size * length)
    shape = len(selection), size, length
    ids, mask = np.full(shape, pad_id, np.int32), np.zeros(shape, np.int32)
    branches, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    present = np.zeros((*shape[:2], num_choices), bool)
    gold, counts = np.zeros(shape[:2], np.int32), np.zeros(shape[:2], np.float32)
    for t, task in enumerate(selection):
        for u, row in enumerate(rows[task]):
            n = len(row.ids)
            ids[t, u, :n], mask[t, u, :n] = row.ids, 1
            branches[t, u, :n], weights[t, u, :n] = row.branches, row.weights
            present[t, u, : row.num_choices] = True
        gold[t, : len(targets[task])], counts[t, : len(rows[task])] = targets[task], 1
    tokens = Tokens(ids, None, mask, _packed(mask.astype(bool), budget))
    return base.Batch(Choices(tokens, branches, weights, present), gold, counts)


def with_content_free(
    query: base.Batch,
    blank: Sequence[Sequence[Sequence[_Row]]],
    sizes: EpisodeSizes,
    selection: Sequence[int],
    pad_id: int,
) -> base.Batch:
    """Adds rows of F texts without content to each query, `[T, Q, F, ...]`."""
    num_free = len(blank[0][0])
    flat = [[row for rows in task for row in rows] for task in blank]
    none = [np.zeros(0, np.int32)] * len(flat)
    size, num = sizes.num_queries * num_free, query.inputs.present.shape[-1]
    free = stack_rows(flat, none, size, num, selection, pad_id).inputs.unpacked()
    shape = len(selection), sizes.num_queries, num_free

    def split(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(*shape, *leaf.shape[2:])

    tokens = Tokens(split(free.tokens.ids), None, split(free.tokens.mask))
    content_free = Choices(
        tokens, split(free.branches), split(free.weights), split(free.present)
    )
    return query._replace(inputs=query.inputs._replace(content_free=content_free))
