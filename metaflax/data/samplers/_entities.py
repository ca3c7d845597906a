"""Episodes for few-shot named entity recognition (N-way K~2K-shot)."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from metaflax._wording import see
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.samplers._support_texts import not_in_support
from metaflax.data.sources._examples import Examples, listing

# Random orders of the sentences to try before an episode fails.
TRIES = 20
# Sentences in the first block.
BLOCK = 32


@dataclasses.dataclass(frozen=True)
class EntitySampler:
    """Samples episodes in which each of N entity types has K to 2 K entities.

    A domain is drawn (if there are several), then types in it. Sentences are visited in
    random order, and one is added if all its entities are of these types, at least one
    of its types has fewer than K entities so far, and none would have more than 2 K.
    So an episode's sentences have no entity of another type, and support sets stay
    close to K-shot although a sentence may have several entities. Queries are drawn in
    the same way from the remaining sentences whose text is not in the support set, up
    to case and white space. Texts that occur twice in a domain are deduplicated.

    Attributes:
      examples: the examples to draw from: `labels` are the entity types that occur in
        a sentence, none if it has no entity, and `targets` its entities, a tuple of
        `Entity`.
      way: N, entity types per episode, or (least, most), drawn uniformly.
      shot: K, support entities per type, or (least, most), drawn uniformly.
      queries: K of the query set, query entities per type, or (least, most), drawn
        uniformly.
      empty_rate: share of all query sentences that have no entity, in [0, 1), as far
        as the domain has such sentences.

    Raises:
      ValueError: if examples have no entities, or labels that are not the types of
        their entities; if a domain has fewer types than `way`, or a type fewer entities
        than `shot + queries`; from `episode`, if no episode of the drawn types is
        found, because they co-occur with other types or too often in one sentence.

    Examples:
      >>> from metaflax.tasks._entity_spans import Entity
      >>> letters = ("ab", "cd", "a", "b", "c", "d", "aa", "bb", "cc", "dd")
      >>> entities = tuple(
      ...     tuple(Entity(n, n + 1, c) for n, c in enumerate(text)) for text in letters
      ... )
      >>> types = tuple(tuple(sorted(set(text))) for text in letters)
      >>> examples = Examples("letters", letters, types, targets=entities)
      >>> episode = EntitySampler(examples, way=2, shot=1, queries=1).episode(0, 1)
      >>> [letters[n] for n in episode.support], [letters[n] for n in episode.query]
      (['d', 'cd'], ['c', 'dd'])

    References:
      Ding et al., `Few-NERD: A Few-Shot Named Entity Recognition Dataset
      <https://arxiv.org/abs/2105.07464>`_, 2021, section 5: N-way K~2K-shot.
    """

    examples: Examples
    way: _pools.Count
    shot: _pools.Count
    queries: _pools.Count
    empty_rate: float = 0.0
    _ranges: tuple[_pools.Range, ...] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _domains: tuple["_Sentences", ...] = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self):
        if not 0 <= self.empty_rate < 1:
            raise ValueError(
                f"the share of queries without entities is {self.empty_rate}; give 0 to"
                " below 1."
            )
        ranges = (
            _pools.count_range("way", self.way, 1),
            _pools.count_range("shot", self.shot, 1),
            _pools.count_range("queries", self.queries, 1),
        )
        domains = _sentences(self.examples)
        _check(self.examples, domains, *(most for _, most in ranges))
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_domains", domains)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode: each sentence adds an entity of an incomplete type."""
        way, shot, queries = (most for _, most in self._ranges)
        empty = max(len(domain.empty) for domain in self._domains)
        num_empty = min(empty, self._num_empty(way * queries))
        return EpisodeSizes(way, way * shot, way * queries + num_empty)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        rng = _pools.generator(seed, index)
        domain = self._domains[_pools.uniform(rng, 0, len(self._domains) - 1)]
        way, shot, queries = (_pools.uniform(rng, *bounds) for bounds in self._ranges)
        types = rng.choice(len(domain.classes), way, replace=False)
        classes = tuple(domain.classes[types].tolist())

        counts = domain.counts[types]  # [N, E]
        only = np.flatnonzero(counts.sum(axis=0, dtype=counts.dtype) == domain.totals)
        groups = self.examples.groups
        only_groups = None if groups is None else groups[domain.numbers[only]]
        drawn = _support_and_queries(counts[:, only], rng, shot, queries, only_groups)
        if drawn is None:
            names = [self.examples.label_names[c] for c in classes]
            raise ValueError(
                f"{self.examples.name}: {TRIES} tries found no episode of {shot} +"
                f" {queries} entities a type for {listing(names)}: too many sentences"
                " hold other types too, or many entities of one. Leave types out, or"
                " lower shot or queries."
            )
        support, query = (domain.numbers[only[rows]] for rows in drawn)
        without = not_in_support(domain.empty, support, groups)
        num_empty = min(len(without), self._num_empty(len(query)))
        empty = rng.choice(without, num_empty, replace=False)
        query = np.concatenate([query, empty])
        return Episode(
            classes=classes,
            domain=domain.number,
            support=support,
            support_targets=np.zeros(len(support), np.int32),
            query=query,
            query_targets=np.zeros(len(query), np.int32),
        )

    def _num_empty(self, num_queries: int) -> int:
        """Number of empty queries to add to `num_queries` others for `empty_rate`."""
        return round(num_queries * self.empty_rate / (1 - self.empty_rate))


class _Sentences(NamedTuple):
    """The distinct sentences of a domain.

    Attributes:
      number: index into `domain_names`, or None.
      classes: global ids of its types `[C]`.
      numbers: indices of the examples with entities `[E]`.
      counts: int16 `[C, E]`, number of entities of each type in them.
      totals: int16 `[E]`, number of entities in them.
      empty: indices of the examples without entities.
    """

    number: int | None
    classes: np.ndarray
    numbers: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    empty: np.ndarray


def _sentences(examples: Examples) -> tuple[_Sentences, ...]:
    if examples.targets is None:
        raise ValueError(
            f"{examples.name}: holds no entities; give a tuple of Entity a text"
            " as targets."
        )
    class_of = {name: i for i, name in enumerate(examples.label_names)}
    counts = np.zeros((len(class_of), len(examples)), np.int16)
    for number, (labels, entities) in enumerate(
        zip(examples.labels, examples.targets, strict=True)
    ):
        types = [entity.type for entity in entities]
        if set(types) != set(labels):
            raise ValueError(
                f"{examples.name}: labels of text {number} are {labels!r}, its entities"
                f" are of {listing(sorted(set(types))) or 'no type'}; labels are the"
                " types."
            )
        np.add.at(counts[:, number], [class_of[name] for name in types], 1)
    return tuple(
        _of_domain(number if examples.domains else None, members, counts)
        for number, members in enumerate(_pools.distinct_by_domain(examples))
    )


def _of_domain(
    number: int | None, members: np.ndarray, counts: np.ndarray
) -> _Sentences:
    counts = counts[:, members]
    classes = np.flatnonzero(counts.any(axis=1))
    full = counts.any(axis=0)
    counts = np.ascontiguousarray(counts[classes][:, full])
    totals = counts.sum(axis=0, dtype=counts.dtype)
    return _Sentences(number, classes, members[full], counts, totals, members[~full])


def _support_and_queries(
    counts: np.ndarray,
    rng: np.random.Generator,
    shot: int,
    queries: int,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Selects columns of `counts` `[N, E]` for both, or None if all tries fail.

    `groups` numbers the groups of equal sentences among the columns.
    """
    num_sentences = counts.shape[1]
    for _ in range(TRIES):
        support = _greedy(counts, rng.permutation(num_sentences), shot)
        if support is None:
            continue
        rest = np.delete(np.arange(num_sentences), support)
        rest = not_in_support(rest, support, groups)
        query = _greedy(counts, rng.permutation(rest), queries)
        if query is not None:
            return support, query
    return None


def _greedy(counts: np.ndarray, order: np.ndarray, shot: int) -> np.ndarray | None:
    """Greedily selects columns in order until each type has `shot` to `2 * shot`.

    A sentence that is rejected once is never accepted later, since the counts of types
    only grow. So one pass through the order is enough, and columns that are rejected at
    the start of their block need no second check.
    """
    totals = np.zeros(len(counts), int)  # [N]
    selected: list[int] = []
    start, size = 0, BLOCK
    while (incomplete := totals < shot).any():
        block = order[start : start + size]
        if not len(block):
            return None
        start, size = start + size, 2 * size  # Rare types may be far ahead.
        block_counts = counts[:, block]  # [N, block]
        fits = block_counts[incomplete].any(axis=0)
        fits &= (block_counts <= 2 * shot - totals[:, None]).all(axis=0)
        rows = zip(block[fits].tolist(), block_counts[:, fits].T.tolist(), strict=True)
        selected += _select(rows, totals, shot)
    return np.array(selected)


def _select(
    sentences: Iterable[tuple[int, list[int]]], totals: np.ndarray, shot: int
) -> list[int]:
    """Greedily selects sentences and updates `totals` in place.

    Uses Python integers, which are faster than arrays as small as N.
    """
    sums, selected = totals.tolist(), []
    incomplete = [n for n, count in enumerate(sums) if count < shot]
    for number, counts in sentences:
        if not any(counts[n] for n in incomplete):
            continue
        new_sums = [total + count for total, count in zip(sums, counts, strict=True)]
        if max(new_sums) > 2 * shot:
            continue
        selected.append(number)
        sums = new_sums
        incomplete = [n for n in incomplete if sums[n] < shot]
        if not incomplete:
            break
    totals[:] = sums
    return selected


def _check(
    examples: Examples,
    domains: tuple[_Sentences, ...],
    way: int,
    shot: int,
    queries: int,
) -> None:
    labels, names = examples.label_names, examples.domain_names

    def place(domain: _Sentences) -> str:
        return "" if domain.number is None else f" of domain {names[domain.number]!r}"

    few = [
        f"{len(domain.classes)} types{place(domain)}"
        for domain in domains
        if len(domain.classes) < way
    ]
    if few or not domains:
        raise ValueError(
            f"{examples.name}: {', '.join(few) or 'no types'} cannot make an episode of"
            f" {way}; lower way, or add types.{see('howto/episodes')}"
        )
    most = 2 * max(shot, queries)  # Sentences with more are never selected.
    scarce = [
        f"{labels[c]!r}{place(domain)} ({count})"
        for domain in domains
        for c, count in zip(
            domain.classes,
            domain.counts[:, (domain.counts <= most).all(axis=0)].sum(axis=1),
            strict=True,
        )
        if count < shot + queries
    ]
    if scarce:
        raise ValueError(
            f"{examples.name}: an episode takes {shot} + {queries} entities of a type,"
            f" at most {most} of them in a sentence, and these have fewer in different"
            f" texts: {', '.join(scarce)}. Add texts, leave the types out, or lower"
            " shot or queries."
        )
