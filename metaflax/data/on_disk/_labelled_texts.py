"""Episodes of labelled texts on disk."""

import dataclasses

import numpy as np

from metaflax.data.on_disk import _index_draw
from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import text_key
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class LabelledTextSampler:
    r"""Draws N-way K-shot episodes of indexed texts.

    Like `EpisodeSampler`, from texts on disk: labels are drawn, then texts of each,
    uniformly and without replacement; no text occurs twice.

    Attributes:
      index: texts, indexed by label.
      groups: numbers of labels (of `index.labels`) that may occur in the same episode.
      way: number of labels per episode, or (minimum, maximum), drawn uniformly.
      shot: number of support texts per label, or (minimum, maximum).
      queries: number of query texts per label, or (minimum, maximum).

    Raises:
      ValueError: if the texts have no labels, or as `MaskedWordSampler`.

    Examples:
      >>> import numpy as np
      >>> from metaflax.data import LabelledTextSampler
      >>> import tempfile
      >>> from pathlib import Path
      >>> from metaflax.data import index_labels
      >>> lines = [f"{pet},{pet} {n}" for n in range(4) for pet in ("dog", "cat")]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("\n".join(["label,text", *lines]))
      ...     index = index_labels(path, cache_dir=folder)
      ...     pets = LabelledTextSampler(index, (np.arange(2),), 2, shot=1, queries=1)
      ...     episode = pets.episode(0, 0)
      ...     for row, target in zip(episode.support, episode.support_targets):
      ...         label = episode.classes[target]
      ...         print(index.labels.names[label], "-", pets.text(row, label))
      cat - cat 2
      dog - dog 0
    """

    index: TextIndex
    groups: tuple[np.ndarray, ...]
    way: _pools.Count
    shot: _pools.Count
    queries: _pools.Count
    _draw: _index_draw.IndexDraw = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self):
        sizes = self.way, self.shot, self.queries
        draw = _index_draw.checked_draw(
            self.index, "labels", self.groups, sizes, _any_text
        )
        object.__setattr__(self, "_draw", draw)

    @property
    def sizes(self) -> EpisodeSizes:
        """Sizes of the largest episode."""
        return self._draw.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Draws episode `index` of the infinite sequence of `seed`, label by label."""
        return self._draw.episode(seed, index)

    @property
    def class_names(self) -> list[str]:
        """Names of the labels that may occur in an episode."""
        names = self.index.labels.names
        return [names[n] for group in self.groups for n in group.tolist()]

    def text(self, row: int, number: int) -> str:
        """Reads the text of a row."""
        del number  # Labels are not part of the text.
        return self.index.text(row)


def labelled_examples(
    index: TextIndex,
    labels: np.ndarray,
    *,
    least: int,
    most: int,
    most_labels: int,
    seed: int = 0,
    name: str | None = None,
) -> Examples:
    r"""Reads a random sample of texts of an index into memory.

    Args:
      index: texts, indexed by label.
      labels: numbers of labels to draw from.
      least: minimum number of different texts of a label; others are left out.
      most: maximum number of texts per label.
      most_labels: maximum number of labels.
      seed: seed for sampling.
      name: name of the examples in messages; by default the path of the texts.

    Returns:
      The examples, label by label; no text occurs twice in a label, up to case and
      white space.

    Raises:
      ValueError: if the texts have no labels.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from metaflax.data import index_labels
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("text,label\nbarks,dog\nhowls,dog\npurrs,cat")
      ...     index = index_labels(path, cache_dir=folder)
      ...     some = labelled_examples(
      ...         index, np.arange(2), least=2, most=9, most_labels=9
      ...     )
      >>> sorted(some.texts), some.label_names
      (['barks', 'howls'], ('dog',))
    """
    postings = index.labels
    rng = _pools.generator(seed, 0)
    labels = labels[postings.counts[labels] >= least]
    texts: list[str] = []
    names: list[tuple[str, ...]] = []
    num_labels = 0
    for number in rng.permutation(labels).tolist():
        if num_labels == most_labels:
            break
        rows = postings.rows(number)
        num_candidates = min(len(rows), _index_draw.CANDIDATES * most)
        drawn = rows[rng.choice(len(rows), num_candidates, replace=False)]
        by_key = {text_key(text): text for text in map(index.text, drawn.tolist())}
        different = list(by_key.values())[:most]
        if len(different) >= least:
            texts += different
            names += [(postings.names[number],)] * len(different)
            num_labels += 1
    index.release()
    return Examples(name or str(index.path), tuple(texts), tuple(names))


def _any_text(text: str, name: str, names: frozenset[str]) -> bool:
    return True
