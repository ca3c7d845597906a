"""Episodes of texts that may have several labels."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class MultiLabelSampler:
    """Draws way-shot episodes of texts with several labels.

    Labels are drawn as `EpisodeSampler` draws classes. Then each, the rarest first,
    is given random examples until `shot` of the support carry it, and an example
    counts for every drawn label that it carries; queries likewise, from what is left.
    A label may thus be carried by more than `shot` examples, never by fewer. Where
    labels mostly occur together, so that the support took what others need, it may be
    carried by fewer than `queries` queries.

    Attributes:
      examples: where episodes are drawn from.
      way: labels an episode, or (least, most), drawn uniformly.
      shot: support examples that carry each label, likewise.
      queries: query examples that carry each label, likewise.

    Raises:
      ValueError: as `EpisodeSampler`, for labels in place of classes.

    Examples:
      >>> letters = ("ab", "bc", "abc", "ca", "a", "b", "c")
      >>> words = Examples("words", letters, tuple(tuple(w) for w in letters))
      >>> episode = MultiLabelSampler(words, way=2, shot=1, queries=1).episode(0, 0)
      >>> bool(episode.support_targets.sum(axis=0).min() >= 1)
      True
    """

    examples: Examples
    way: _pools.Count
    shot: _pools.Count
    queries: _pools.Count
    _drawn_from: _pools.Pools = dataclasses.field(init=False, repr=False, compare=False)
    # [examples, labels], true where an example carries a label.
    _carries: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        pools = _pools.build(self.examples, self.way, self.shot, self.queries)
        class_of = {name: i for i, name in enumerate(self.examples.label_names)}
        carries = np.zeros((len(self.examples), len(class_of)), bool)
        for number, labels in enumerate(self.examples.labels):
            carries[number, [class_of[label] for label in labels]] = True
        object.__setattr__(self, "_drawn_from", pools)
        object.__setattr__(self, "_carries", carries)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self._drawn_from.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names."""
        pool, rng, chosen, shot, queries = self._drawn_from.draw(seed, index)
        classes = pool.classes[chosen]
        members = [pool.members[c] for c in chosen]
        numbers = np.unique(np.concatenate(members))  # [E]
        targets = self._carries[numbers[:, None], classes]  # [E, way]
        orders = [np.searchsorted(numbers, rng.permutation(m)) for m in members]

        free = np.ones(len(numbers), bool)
        support = _greedy(orders, targets, free, shot, spare=queries)
        free[support] = False
        query = _greedy(orders, targets, free, queries, spare=0)
        return Episode(
            classes=tuple(classes.tolist()),
            domain=pool.domain,
            support=numbers[support],
            support_targets=targets[support].astype(np.float32),
            query=numbers[query],
            query_targets=targets[query].astype(np.float32),
        )


def _greedy(
    orders: list[np.ndarray],
    targets: np.ndarray,
    free: np.ndarray,
    wanted: int,
    *,
    spare: int,
) -> list[int]:
    """Free examples until `wanted` of them carry each label, as far as there are.

    Args:
      orders: for each label its examples in random order, as rows of `targets`.
      targets: bool `[E, way]`.
      free: bool `[E]`, what may be picked.
      wanted: how many are to carry each label.
      spare: examples whose loss would leave one of their labels with fewer free ones
        than this are picked last.

    Returns:
      The rows picked.
    """
    free = free.copy()
    left, have = targets[free].sum(axis=0), np.zeros(len(orders), int)  # [way]
    picked: list[int] = []
    for label in sorted(range(len(orders)), key=lambda i: len(orders[i])):
        for careful in (True, False):
            for row in orders[label].tolist():
                if have[label] >= wanted:
                    break
                carried = targets[row]
                costly = careful and bool((left[carried] <= spare).any())
                if not free[row] or costly:
                    continue
                free[row] = False
                picked.append(row)
                left, have = left - carried, have + carried
    return picked
