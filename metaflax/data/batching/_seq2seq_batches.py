"""Texts to be read, and what is to be said of them, as a language model takes them.

Whatever is said begins with a token that begins all, and ends with one that ends it. A
model of one network (a GPT) reads both as one text; one that reads and says by two
networks gets them apart. Either way it says the next word at every token, and what is
right there is a code, as it is for the tokens of other task types.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, tasks
from metaflax.data.batching._batching import (
    Buckets,
    _budget,
    _lengths,
    _rows,
    _tokens,
    collate,
)
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.data.batching._tokenize import TokenizedTexts, tokenize
from metaflax.data.samplers._episodes import Episode
from metaflax.models import Pair


class Speech(NamedTuple):
    """How a language model is told what to say.

    Attributes:
      begin: the id that begins whatever is said.
      end: the id that ends it.
      apart: whether what is read goes to a network of its own.
      num_read: the most tokens that are read.
      num_said: the most tokens that are said, with the one that ends them.
    """

    begin: int
    end: int
    apart: bool
    num_read: int
    num_said: int


@dataclasses.dataclass(frozen=True)
class TokenizedPairs:
    """What a language model reads of examples, and what it is to say.

    Attributes:
      prompts: what it reads before it says anything.
      inputs: what it reads while it is told what was right so far.
      codes: for each token of `inputs` the next word; -1 where none is asked for.
      speech: how the model is told; `prompts` lie within `inputs` unless they are read
        apart.
    """

    prompts: TokenizedTexts
    inputs: TokenizedTexts
    codes: TokenCodes
    speech: Speech


def tokenize_pairs(
    tokenizer: Any,
    texts: Sequence[Any],
    targets: Sequence[Any],
    *,
    level: tasks.TextLevel,
    speech: Speech,
    on_long: str = "error",
    cache_dir: str | Path | None = None,
) -> TokenizedPairs:
    """Turns texts and their targets into token ids.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: of the task type's form.
      targets: what is to be said of each.
      level: of the task type.
      speech: how the model is told.
      on_long: `error` refuses longer texts, `truncate` cuts them: what is read by its
        form, what is said at its end.
      cache_dir: as for `tokenize`.

    Returns:
      The tokens of every pair.

    Raises:
      ValueError: if a text is too long, or gives no tokens.
    """
    pairs = [level.pair(*both) for both in zip(texts, targets, strict=True)]
    kept = {"on_long": on_long, "cache_dir": cache_dir}
    prompts = _read(tokenizer, [read for read, _ in pairs], level, speech, **kept)
    said = tokenize(
        tokenizer,
        [said for _, said in pairs],
        max_length=speech.num_said,
        form=tasks.TARGET_TEXT,
        max_positions=speech.num_said,
        **kept,
    )
    # A text that was cut has no end, and must not be taken to have one.
    ended = [np.append(row, speech.end)[: speech.num_said] for row in _each(said)]
    inputs, codes = (_apart if speech.apart else _in_one)(prompts, ended, speech)
    return TokenizedPairs(
        prompts,
        _packed(inputs, prompts.pad_id, said.num_truncated),
        TokenCodes(
            np.concatenate(codes).astype(np.int32),
            local=lambda codes, classes, room: codes,
        ),
        speech,
    )


def tokenize_prompts(
    tokenizer: Any,
    texts: Sequence[Any],
    *,
    level: tasks.TextLevel,
    speech: Speech,
    on_long: str = "truncate",
) -> TokenizedTexts:
    """What a model reads of texts before it says anything.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: of the task type's form.
      level: of the task type.
      speech: how the model is told.
      on_long: as for `tokenize_pairs`.

    Returns:
      A row for each text.

    Raises:
      ValueError: if a text is too long, or gives no tokens, or what is to be said is
        begun already and the model begins it with one token.
    """
    asked = [level.prompt(text) for text in texts]
    prompts = _read(
        tokenizer, [read for read, _ in asked], level, speech, on_long=on_long
    )
    begun = [text for _, text in asked]
    if not any(begun):
        return prompts
    if speech.apart:
        raise ValueError(
            "a model that reads by a network of its own says whole texts, and cannot go"
            " on with one; take a GPT."
        )
    starts = tokenize(
        tokenizer,
        begun,
        max_length=speech.num_read - 1,
        form=tasks.TARGET_PREFIX,
        on_long=on_long,
        max_positions=speech.num_read,
    )
    rows = [
        np.append(*both) for both in zip(_each(prompts), _each(starts), strict=True)
    ]
    return _packed(rows, prompts.pad_id, starts.num_truncated)


def _read(
    tokenizer: Any,
    texts: Sequence[Any],
    level: tasks.TextLevel,
    speech: Speech,
    **kept: Any,
) -> TokenizedTexts:
    """What is read, with the token behind it that begins what is said, if in one."""
    begin = [] if speech.apart else [speech.begin]
    if level.source_form is None:
        if speech.apart:
            raise ValueError(
                "this task type reads nothing before it speaks, and the model reads by"
                " a network of its own; take a GPT."
            )
        pad = tokenizer.pad_token_id or 0
        return _packed([np.array(begin)] * len(texts), pad, 0)
    found = tokenize(
        tokenizer,
        texts,
        max_length=speech.num_read - len(begin),
        form=level.source_form,
        max_positions=speech.num_read,
        **kept,
    )
    if speech.apart:
        return found
    rows = [np.append(row, begin) for row in _each(found)]
    return _packed(rows, found.pad_id, found.num_truncated)


Rows = list[np.ndarray]


def _apart(prompts: TokenizedTexts, said: Rows, speech: Speech) -> tuple[Rows, Rows]:
    """What was said so far, and the word after each."""
    del prompts  # Which the other network reads.
    return [np.append(speech.begin, row[:-1]) for row in said], said


def _in_one(prompts: TokenizedTexts, said: Rows, speech: Speech) -> tuple[Rows, Rows]:
    """Both, one behind the other; nothing is asked before the last of the prompt."""
    del speech  # The prompts end with what begins all.
    inputs, codes = [], []
    for prompt, row in zip(_each(prompts), said, strict=True):
        inputs.append(np.append(prompt, row[:-1]))
        codes.append(np.append(np.full(len(prompt) - 1, -1), row))
    return inputs, codes


def _each(tokenized: TokenizedTexts) -> Rows:
    return [tokenized[row] for row in range(len(tokenized))]


def _packed(rows: Sequence[np.ndarray], pad_id: int, num_cut: int) -> TokenizedTexts:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return TokenizedTexts(
        np.concatenate(rows).astype(np.int32),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        pad_id=pad_id,
        num_truncated=num_cut,
    )


def collate_pairs(
    episodes: Sequence[Episode],
    pairs: TokenizedPairs,
    *,
    num_classes: int,
    num_support: int,
    num_queries: int,
    buckets: Buckets,
    share: Sequence[int] | np.ndarray | None = None,
) -> base.Task:
    """Stacks T episodes into one task of arrays with a leading axis T.

    Args:
      episodes: T episodes of one sampler.
      pairs: the tokens of the sampler's examples.
      num_classes: as for `collate`, with the two below: the sizes of the sampler.
      num_support: S.
      num_queries: Q.
      buckets: what lengths of texts are rounded up to.
      share: as for `collate`.

    Returns:
      A task of NumPy arrays. `inputs` are `Tokens` of ids `[T, S, L]`, or a
      `models.Pair` of such; targets are int32 `[T, S, L]`, the word after each token,
      -1 where none is asked for; weights are float32 `[T, S]`. The query has Q in
      place of S.

    Raises:
      ValueError: if an episode is larger than the sizes.
    """
    sizes = num_classes, num_support, num_queries
    put = functools.partial(_collated, episodes, sizes, buckets, share)
    said = put(pairs.inputs, pairs.codes)
    if not pairs.speech.apart:
        return said
    read = put(pairs.prompts, None)

    def paired(read: base.Batch, said: base.Batch) -> base.Batch:
        return said._replace(inputs=Pair(read.inputs, said.inputs))

    return base.Task(paired(read.support, said.support), paired(read.query, said.query))


def collate_candidates(
    episodes: Sequence[Episode],
    pairs: TokenizedPairs,
    num_queries: int,
    buckets: Buckets,
) -> base.Batch:
    """What is to be said of all queries, as candidates for each of them.

    Args:
      episodes: T episodes of one sampler.
      pairs: the tokens of the sampler's examples.
      num_queries: Q, the most queries.
      buckets: what lengths of texts are rounded up to.

    Returns:
      A batch of leaves `[T, Q, Q, ...]`: candidate j of query i is the text of query j
      after what is read of query i. Beyond an episode's queries it is padding.
    """
    rows = [(q, c) for e in episodes for q in e.query for c in e.query]
    crossed = _crossed(pairs, rows)
    asked, first = [], 0
    none, no_targets = np.zeros(0, np.int32), np.zeros(0, np.int32)
    for episode in episodes:
        num = len(episode.query)
        for _ in range(num):
            own = np.arange(first, first + num, dtype=np.int32)
            zeros = np.zeros(num, np.int32)
            asked.append(Episode((), None, none, no_targets, own, zeros))
            first += num
        asked += asked[-1:] * (num_queries - num)
    batch = collate_pairs(
        asked,
        crossed,
        num_classes=1,
        num_support=0,
        num_queries=num_queries,
        buckets=buckets,
    ).query
    shape = len(episodes), num_queries
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), batch)


def _crossed(pairs: TokenizedPairs, rows: Sequence[tuple[int, int]]) -> TokenizedPairs:
    """What is read of some examples, before what is to be said of others."""
    inputs, speech = pairs.inputs, pairs.speech

    def said(row: int) -> np.ndarray:
        codes = pairs.codes.flat[inputs.offsets[row] : inputs.offsets[row + 1]]
        return codes[codes >= 0]

    read = [pairs.prompts[int(q)] for q, _ in rows]
    prompts = _packed(read, inputs.pad_id, 0)
    ended = [said(int(c)) for _, c in rows]
    texts, codes = (_apart if speech.apart else _in_one)(prompts, ended, speech)
    of_all = pairs.codes._replace(flat=np.concatenate(codes).astype(np.int32))
    return TokenizedPairs(prompts, _packed(texts, inputs.pad_id, 0), of_all, speech)


def _collated(
    episodes: Sequence[Episode],
    sizes: tuple[int, int, int],
    buckets: Buckets,
    share: Sequence[int] | np.ndarray | None,
    tokenized: TokenizedTexts,
    codes: TokenCodes | None,
) -> base.Task:
    num_classes, num_support, num_queries = sizes
    return collate(
        episodes,
        tokenized,
        num_classes=num_classes,
        num_support=num_support,
        num_queries=num_queries,
        buckets=buckets,
        codes=codes,
        share=share,
    )


def collate_prompts(
    episodes: Sequence[Episode],
    prompts: TokenizedTexts,
    num_queries: int,
    buckets: Buckets,
) -> Any:
    """What is read of the queries of T episodes: `Tokens` of ids `[T, Q, L]`."""
    rows = _rows([e.query for e in episodes], num_queries, "queries")
    length = buckets.length(int(_lengths(prompts, rows).max()))
    budget = _budget(prompts, rows, length, buckets)
    return _tokens(prompts, rows, length, budget)
