"""Episodes of sentences with entities."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples, listing

# Orders of the sentences that are tried before an episode is given up.
TRIES = 20
# Sentences looked at together at first.
BLOCK = 32


@dataclasses.dataclass(frozen=True)
class EntitySampler:
    """Draws episodes in which each of N types has K to 2 K entities.

    A domain is drawn (where there are several), then types in it. Sentences come in
    random order, and one is taken if all its entities are of these types, some type
    of which it has entities has fewer than K so far, and none gets more than 2 K. So
    every entity of a sentence is of the episode, and support sets are about as large
    as their name says although a sentence brings several entities. Queries are drawn
    likewise from what is left. Of texts that occur twice in a domain one is kept, so
    that no query repeats a support text.

    Attributes:
      examples: where episodes are drawn from: `labels` hold the types that occur in a
        sentence, none where it has no entity, and `targets` its entities, a tuple of
        `tasks.Entity`.
      way: types an episode, N, or (least, most), drawn uniformly.
      shot: support entities a type, K, likewise.
      queries: query entities a type, K again, likewise.
      empty_rate: which share of all query sentences has no entity, from 0 to below 1,
        as far as the domain has such sentences.

    Raises:
      ValueError: if examples have no entities, or labels that are not their types; if
        a domain has fewer types than `way`, or a type fewer entities than
        `shot + queries`; from `episode`, if drawn types do not make one because other
        types keep them company or too many stand in a sentence.

    Examples:
      >>> from metaflax.tasks import Entity
      >>> letters = ("ab", "cd", "a", "b", "c", "d", "aa", "bb", "cc", "dd")
      >>> found = tuple(
      ...     tuple(Entity(n, n + 1, c) for n, c in enumerate(text)) for text in letters
      ... )
      >>> types = tuple(tuple(sorted(set(text))) for text in letters)
      >>> examples = Examples("letters", letters, types, targets=found)
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
        """The largest episode: each sentence taken adds to a type that lacks some."""
        way, shot, queries = (most for _, most in self._ranges)
        empty = max(len(domain.empty) for domain in self._domains)
        more = min(empty, self._num_empty(way * queries))
        return EpisodeSizes(way, way * shot, way * queries + more)

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names."""
        rng = _pools.generator(seed, index)
        domain = self._domains[_pools.uniform(rng, 0, len(self._domains) - 1)]
        way, shot, queries = (_pools.uniform(rng, *bounds) for bounds in self._ranges)
        chosen = rng.choice(len(domain.classes), way, replace=False)
        classes = tuple(domain.classes[chosen].tolist())

        counts = domain.counts[chosen]  # [N, E]
        only = np.flatnonzero(counts.sum(axis=0, dtype=counts.dtype) == domain.totals)
        drawn = _support_and_queries(counts[:, only], rng, shot, queries)
        if drawn is None:
            names = [self.examples.label_names[c] for c in classes]
            raise ValueError(
                f"{self.examples.name}: {TRIES} tries found no episode of {shot} +"
                f" {queries} entities a type for {listing(names)}: too many sentences"
                " hold other types too, or many entities of one. Leave types out, or"
                " lower shot or queries."
            )
        support, query = (domain.numbers[only[rows]] for rows in drawn)
        num_empty = min(len(domain.empty), self._num_empty(len(query)))
        empty = rng.choice(domain.empty, num_empty, replace=False)
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
        """How many sentences make that share, beside so many others."""
        return round(num_queries * self.empty_rate / (1 - self.empty_rate))


class _Sentences(NamedTuple):
    """The sentences of a domain, one of each text.

    Attributes:
      number: which of `domain_names`, or None.
      classes: global ids of its types `[C]`.
      numbers: its sentences with entities `[E]`, as numbers of examples.
      counts: int16 `[C, E]`, how many entities of each type these hold.
      totals: int16 `[E]`, how many of all.
      empty: numbers of its sentences without entities.
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
            f"{examples.name}: holds no entities; give a tuple of tasks.Entity a text"
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
    counts: np.ndarray, rng: np.random.Generator, shot: int, queries: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns of `counts` `[N, E]` for both; None if no order of them gives enough."""
    num_sentences = counts.shape[1]
    for _ in range(TRIES):
        support = _greedy(counts, rng.permutation(num_sentences), shot)
        if support is None:
            continue
        rest = np.delete(np.arange(num_sentences), support)
        query = _greedy(counts, rng.permutation(rest), queries)
        if query is not None:
            return support, query
    return None


def _greedy(counts: np.ndarray, order: np.ndarray, wanted: int) -> np.ndarray | None:
    """The first columns in order that lead to `wanted` to `2 * wanted` of each type.

    A sentence that does not serve when its turn comes never serves later: types only
    get fuller. So one walk through the order is enough, and what does not serve when
    its block begins needs no second look.
    """
    have = np.zeros(len(counts), int)  # [N]
    taken: list[int] = []
    place, size = 0, BLOCK
    while (lacking := have < wanted).any():
        block = order[place : place + size]
        if not len(block):
            return None
        place, size = place + size, 2 * size  # What is rare may be far away.
        ahead = counts[:, block]  # [N, block]
        serves = ahead[lacking].any(axis=0)
        serves &= (ahead <= 2 * wanted - have[:, None]).all(axis=0)
        rows = zip(block[serves].tolist(), ahead[:, serves].T.tolist(), strict=True)
        taken += _taken(rows, have, wanted)
    return np.array(taken)


def _taken(
    sentences: Iterable[tuple[int, list[int]]], have: np.ndarray, wanted: int
) -> list[int]:
    """Which sentences are taken, one after the other; `have` is brought up to date.

    Plain numbers, since arrays of N take longer to touch than to add.
    """
    sums, taken = have.tolist(), []
    lacking = [n for n, held in enumerate(sums) if held < wanted]
    for number, counts in sentences:
        if not any(counts[n] for n in lacking):
            continue
        after = [held + more for held, more in zip(sums, counts, strict=True)]
        if max(after) > 2 * wanted:
            continue
        taken.append(number)
        sums = after
        lacking = [n for n in lacking if sums[n] < wanted]
        if not lacking:
            break
    have[:] = sums
    return taken


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
            f" {way}; lower way, or add types."
        )
    most = 2 * max(shot, queries)  # A sentence with more of a type is never taken.
    scarce = [
        f"{labels[c]!r}{place(domain)} ({found})"
        for domain in domains
        for c, found in zip(
            domain.classes,
            domain.counts[:, (domain.counts <= most).all(axis=0)].sum(axis=1),
            strict=True,
        )
        if found < shot + queries
    ]
    if scarce:
        raise ValueError(
            f"{examples.name}: an episode takes {shot} + {queries} entities of a type,"
            f" at most {most} of them in a sentence, and these have fewer in different"
            f" texts: {', '.join(scarce)}. Add texts, leave the types out, or lower"
            " shot or queries."
        )
