"""Episodes of labelled texts that stay on disk."""

import dataclasses

import numpy as np

from metaflax.data import _index_draw, _pools
from metaflax.data._episodes import Episode, EpisodeSizes
from metaflax.data._text_index import TextIndex


@dataclasses.dataclass(frozen=True)
class LabelledTextSampler:
    """Draws way-shot episodes of the labels of indexed texts.

    They are those of `EpisodeSampler`, from texts that stay on disk: labels are drawn,
    then texts of each, uniformly and without replacement, and no text twice.

    Attributes:
      index: the text, indexed with a column of labels.
      groups: numbers of labels (of `index.labels`) that may meet in a task.
      way: labels a task, or (least, most), drawn uniformly.
      shot: support texts a label, likewise.
      queries: query texts a label, likewise.

    Raises:
      ValueError: if the text has no labels, or as `MaskedWordSampler`.
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
        """The largest episode."""
        return self._draw.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names, label by label."""
        return self._draw.episode(seed, index)

    def shown(self, row: int, number: int) -> str:
        """The text of a row."""
        del number  # A label is no part of its text.
        return self.index.text(row)


def _any_text(text: str, own: str, names: frozenset[str]) -> bool:
    return True
