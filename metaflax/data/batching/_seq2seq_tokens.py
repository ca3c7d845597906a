"""Tokens of source texts and target texts of generative language models.

Every target starts with a begin token and ends with an end token. A decoder-only model
(such as a GPT-2) takes the source and the target as one sequence; an encoder-decoder
takes them as two. Either way the model predicts the next token at every position, and
the gold token there is a code, as for the tokens of other task types.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.data.batching._tokenize import TokenizedTexts, tokenize
from metaflax.tasks._forms import TARGET_PREFIX, TARGET_TEXT

Rows = list[np.ndarray]


class PairLayout(NamedTuple):
    """Layout of the source and the target of a generative language model.

    Attributes:
      begin: the token id that starts every target.
      end: the token id that ends every target.
      separate_encoder: whether an encoder takes the source (an encoder-decoder).
      max_source_length: the largest number of source tokens.
      max_target_length: the largest number of target tokens, the end token included.
    """

    begin: int
    end: int
    separate_encoder: bool
    max_source_length: int
    max_target_length: int


@dataclasses.dataclass(frozen=True)
class TokenizedPairs:
    """Tokens of the sources and targets of examples.

    Attributes:
      prompts: the source of each example, which the model takes before it generates.
      inputs: the tokens that the model takes under teacher forcing.
      codes: the next token of each token of `inputs`; -1 where no token is predicted.
      layout: the layout of both; `prompts` are prefixes of `inputs` in a decoder-only
        model, and the encoder's input in an encoder-decoder.
    """

    prompts: TokenizedTexts
    inputs: TokenizedTexts
    codes: TokenCodes
    layout: PairLayout


def tokenize_pairs(
    tokenizer: Any,
    texts: Sequence[Any],
    targets: Sequence[Any],
    *,
    level: tasks.TextLevel,
    layout: PairLayout,
    on_long: str = "error",
    cache_dir: str | Path | None = None,
) -> TokenizedPairs:
    """Tokenizes texts and their target texts.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: source texts in the task type's form.
      targets: the target text of each.
      level: the text level of the task type.
      layout: the layout of sources and targets.
      on_long: `error` rejects longer texts; `truncate` cuts a source by its form and a
        target at its end.
      cache_dir: as for `tokenize`.

    Returns:
      The tokens of every pair.

    Raises:
      ValueError: if a text is too long, or gives no tokens.
    """
    pairs = [level.pair(*both) for both in zip(texts, targets, strict=True)]
    options = {"on_long": on_long, "cache_dir": cache_dir}
    sources = [source for source, _ in pairs]
    prompts = _tokenize_sources(tokenizer, sources, level, layout, **options)
    target_tokens = tokenize(
        tokenizer,
        [target for _, target in pairs],
        max_length=layout.max_target_length,
        form=TARGET_TEXT,
        max_positions=layout.max_target_length,
        **options,
    )
    if level.end is not None:
        _refuse_early_ends(target_tokens, targets, level.end, layout.end)
    # A truncated target gets no end token, so that the model learns no false end.
    target_rows = [
        np.append(row, layout.end)[: layout.max_target_length]
        for row in _rows_of(target_tokens)
    ]
    inputs, codes = _teacher_forced(prompts, target_rows, layout)
    return TokenizedPairs(
        prompts,
        _concatenated(inputs, prompts.pad_id, target_tokens.num_truncated),
        TokenCodes(
            np.concatenate(codes).astype(np.int32),
            local=lambda codes, classes, room: codes,
        ),
        layout,
    )


def tokenize_prompts(
    tokenizer: Any,
    texts: Sequence[Any],
    *,
    level: tasks.TextLevel,
    layout: PairLayout,
    on_long: str = "truncate",
) -> TokenizedTexts:
    """Tokenizes the prompts of texts, from which a model generates.

    Args:
      tokenizer: a Hugging Face tokenizer.
      texts: source texts in the task type's form.
      level: the text level of the task type.
      layout: the layout of sources and targets.
      on_long: as for `tokenize_pairs`.

    Returns:
      A row for each text.

    Raises:
      ValueError: if a text is too long, or gives no tokens, or has a target prefix
        that an encoder-decoder is to continue.
    """
    parts = [level.prompt(text) for text in texts]
    sources = [source for source, _ in parts]
    prompts = _tokenize_sources(tokenizer, sources, level, layout, on_long=on_long)
    prefixes = [prefix for _, prefix in parts]
    if not any(prefixes):
        return prompts
    if layout.separate_encoder:
        raise ValueError(
            "an encoder-decoder generates whole texts and cannot continue a given"
            " beginning; take a decoder, such as a GPT-2 or a Llama."
        )
    prefix_tokens = tokenize(
        tokenizer,
        prefixes,
        max_length=layout.max_source_length - 1,
        form=TARGET_PREFIX,
        on_long=on_long,
        max_positions=layout.max_source_length,
    )
    rows = [
        np.append(*both)
        for both in zip(_rows_of(prompts), _rows_of(prefix_tokens), strict=True)
    ]
    coverage = _coverage(prompts) + _coverage(prefix_tokens)
    num_truncated = int(np.sum(coverage[:, 0] < coverage[:, 1]))
    return _concatenated(rows, prompts.pad_id, num_truncated, coverage)


def cross_pairs(
    pairs: TokenizedPairs, rows: Sequence[tuple[int, int]]
) -> TokenizedPairs:
    """Pairs the source of one example with the target of another, for each of `rows`.

    Args:
      pairs: the tokens of the examples.
      rows: (number of the source's example, number of the target's example).
    """
    inputs, layout = pairs.inputs, pairs.layout

    def target(row: int) -> np.ndarray:
        codes = pairs.codes.flat[inputs.offsets[row] : inputs.offsets[row + 1]]
        return codes[codes >= 0]

    sources = [pairs.prompts[int(q)] for q, _ in rows]
    prompts = _concatenated(sources, inputs.pad_id, 0)
    targets = [target(int(c)) for _, c in rows]
    texts, codes = _teacher_forced(prompts, targets, layout)
    return TokenizedPairs(
        prompts,
        _concatenated(texts, inputs.pad_id, 0),
        pairs.codes._replace(flat=np.concatenate(codes).astype(np.int32)),
        layout,
    )


def _coverage(tokenized: TokenizedTexts) -> np.ndarray:
    """Number of tokens read of each text, and in total, `[texts, 2]`."""
    if tokenized.coverage is not None:
        return tokenized.coverage
    return np.stack([tokenized.lengths, tokenized.lengths], axis=-1)


def _tokenize_sources(
    tokenizer: Any,
    texts: Sequence[Any],
    level: tasks.TextLevel,
    layout: PairLayout,
    **options: Any,
) -> TokenizedTexts:
    """Tokenizes sources, and for a decoder-only model appends the begin token."""
    begins = level.begins and not layout.separate_encoder
    begin = [layout.begin] if begins else []
    if level.source_form is None:
        if layout.separate_encoder:
            raise ValueError(
                "this task type has no source text, and an encoder-decoder takes one;"
                " take a decoder, such as a GPT-2 or a Llama."
            )
        pad = tokenizer.pad_token_id or 0
        return _concatenated([np.array(begin)] * len(texts), pad, 0)
    tokenized = tokenize(
        tokenizer,
        texts,
        max_length=layout.max_source_length - len(begin),
        form=level.source_form,
        max_positions=layout.max_source_length,
        **options,
    )
    if layout.separate_encoder:
        return tokenized
    rows = [np.append(row, begin) for row in _rows_of(tokenized)]
    coverage = _coverage(tokenized) + len(begin)
    return _concatenated(rows, tokenized.pad_id, tokenized.num_truncated, coverage)


def _refuse_early_ends(
    tokenized: TokenizedTexts, targets: Sequence[Any], end: str, token: int
) -> None:
    """Raises ValueError if a target holds the token that is to end it."""
    for number, row in enumerate(_rows_of(tokenized)):
        if token in row:
            raise ValueError(
                f"the target of example {number} holds {end!r}, which ends targets in"
                f" the template: {str(targets[number])[:40]!r}...; give a template with"
                " another end, or none (the token that ends the model's texts)."
            )


def _teacher_forced(
    prompts: TokenizedTexts, targets: Rows, layout: PairLayout
) -> tuple[Rows, Rows]:
    """Builds the inputs under teacher forcing, and the next token of each of them."""
    if layout.separate_encoder:  # The encoder takes the prompts.
        return [np.append(layout.begin, row[:-1]) for row in targets], targets
    # The last token of a prompt, usually the begin token, predicts the first target.
    inputs, codes = [], []
    for prompt, row in zip(_rows_of(prompts), targets, strict=True):
        inputs.append(np.append(prompt, row[:-1]))
        codes.append(np.append(np.full(len(prompt) - 1, -1), row))
    return inputs, codes


def _rows_of(tokenized: TokenizedTexts) -> Rows:
    return [tokenized[row] for row in range(len(tokenized))]


def _concatenated(
    rows: Sequence[np.ndarray],
    pad_id: int,
    num_truncated: int,
    coverage: np.ndarray | None = None,
) -> TokenizedTexts:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return TokenizedTexts(
        np.concatenate(rows).astype(np.int32),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        pad_id=pad_id,
        num_truncated=num_truncated,
        coverage=coverage,
    )
