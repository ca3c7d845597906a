"""Batches of source texts and target texts for generative language models."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metaflax import base
from metaflax.data.batching._batching import (
    Buckets,
    _budget,
    _lengths,
    _rows,
    _tokens,
    collate,
)
from metaflax.data.batching._seq2seq_tokens import TokenizedPairs, cross_pairs
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.data.batching._tokenize import TokenizedTexts
from metaflax.data.samplers._episodes import Episode
from metaflax.models import Pair


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
      num_classes: as for `collate`; this and the next two are the sampler's sizes.
      num_support: S.
      num_queries: Q.
      buckets: the lengths that texts are padded to.
      share: as for `collate`.

    Returns:
      A task of NumPy arrays. `inputs` are `Tokens` of ids `[T, S, L]`, or a
      `models.Pair` of such; targets are int32 `[T, S, L]`, the next token of each
      token, -1 where no token is predicted; weights are float32 `[T, S]`. The query
      has Q in place of S.

    Raises:
      ValueError: if an episode is larger than the sizes.
    """
    sizes = num_classes, num_support, num_queries
    collate_side = functools.partial(_collate_side, episodes, sizes, buckets, share)
    decoder = collate_side(pairs.inputs, pairs.codes)
    if not pairs.layout.separate_encoder:
        return decoder
    encoder = collate_side(pairs.prompts, None)

    def paired(encoder: base.Batch, decoder: base.Batch) -> base.Batch:
        return decoder._replace(inputs=Pair(encoder.inputs, decoder.inputs))

    return base.Task(
        paired(encoder.support, decoder.support), paired(encoder.query, decoder.query)
    )


def collate_candidates(
    episodes: Sequence[Episode],
    pairs: TokenizedPairs,
    num_queries: int,
    buckets: Buckets,
) -> base.Batch:
    """Collates the targets of all queries as candidates for each query.

    Args:
      episodes: T episodes of one sampler.
      pairs: the tokens of the sampler's examples.
      num_queries: Q, the maximum number of queries.
      buckets: the lengths that texts are padded to.

    Returns:
      A batch of leaves `[T, Q, Q, ...]`: candidate j of query i is the source of query
      i with the target of query j. Beyond an episode's queries it is padding.
    """
    rows = [(q, c) for e in episodes for q in e.query for c in e.query]
    crossed = cross_pairs(pairs, rows)
    candidate_episodes, first = [], 0
    none, no_targets = np.zeros(0, np.int32), np.zeros(0, np.int32)
    for episode in episodes:
        num = len(episode.query)
        for _ in range(num):
            candidates = np.arange(first, first + num, dtype=np.int32)
            zeros = np.zeros(num, np.int32)
            candidate_episodes.append(
                Episode((), None, none, no_targets, candidates, zeros)
            )
            first += num
        candidate_episodes += candidate_episodes[-1:] * (num_queries - num)
    batch = collate_pairs(
        candidate_episodes,
        crossed,
        num_classes=1,
        num_support=0,
        num_queries=num_queries,
        buckets=buckets,
    ).query
    shape = len(episodes), num_queries
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), batch)


def collate_prompts(
    episodes: Sequence[Episode],
    prompts: TokenizedTexts,
    num_queries: int,
    buckets: Buckets,
) -> Any:
    """Collates the prompts of the queries of T episodes: ids `[T, Q, L]`."""
    rows = _rows([e.query for e in episodes], num_queries, "queries")
    length = buckets.length(int(_lengths(prompts, rows).max()))
    budget = _budget(prompts, rows, length, buckets)
    return _tokens(prompts, rows, length, budget)


def _collate_side(
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
