"""Episodes for multi-label classification."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.samplers._support_texts import not_in_support
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class MultiLabelSampler:
    """Samples N-way K-shot episodes of texts with several labels.

    Labels are drawn as `EpisodeSampler` draws classes. Then, from the rarest label on,
    random examples are added to the support set until `shot` of them have the label; an
    example counts for every drawn label that it has. The query set is drawn in the same
    way from the remaining examples whose text, up to case and white space, is not in
    the support set. So a label may have more than `shot` support
    examples, never fewer. If labels mostly co-occur, so that the support set has used
    up their examples, a label may have fewer than `queries` queries.

    Attributes:
      examples: the examples to draw from.
      way: labels per episode, or (least, most), drawn uniformly.
      shot: support examples per label, or (least, most), drawn uniformly.
      queries: query examples per label, or (least, most), drawn uniformly.

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
    # [examples, labels], true where an example has a label.
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
        """Samples episode `index` of the endless list of `seed`."""
        pool, rng, drawn, shot, queries = self._drawn_from.draw(seed, index)
        classes = pool.classes[drawn]
        members = [pool.members[c] for c in drawn]
        numbers = np.unique(np.concatenate(members))  # [E]
        targets = self._carries[numbers[:, None], classes]  # [E, way]
        orders = [np.searchsorted(numbers, rng.permutation(m)) for m in members]

        free = np.ones(len(numbers), bool)
        support = _greedy(orders, targets, free, shot, spare=queries)
        free[support] = False
        groups = self.examples.groups
        free &= np.isin(numbers, not_in_support(numbers, numbers[support], groups))
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
    shot: int,
    *,
    spare: int,
) -> list[int]:
    """Greedily selects free examples until `shot` of them have each label, if possible.

    Args:
      orders: for each label its examples in random order, as rows of `targets`.
      targets: bool `[E, way]`.
      free: bool `[E]`, the examples that may be selected.
      shot: number of examples per label.
      spare: examples whose selection would leave one of their labels with fewer free
        examples than this are selected last.

    Returns:
      The selected rows.
    """
    free = free.copy()
    left, counts = targets[free].sum(axis=0), np.zeros(len(orders), int)  # [way]
    selected: list[int] = []
    for label in sorted(range(len(orders)), key=lambda i: len(orders[i])):
        for keep_spare in (True, False):
            for row in orders[label].tolist():
                if counts[label] >= shot:
                    break
                labels = targets[row]
                costly = keep_spare and bool((left[labels] <= spare).any())
                if not free[row] or costly:
                    continue
                free[row] = False
                selected.append(row)
                left, counts = left - labels, counts + labels
    return selected
