"""Episodes drawn from indexed text: words that are masked, or labels.

The texts of an episode are read when it is drawn, so that a stream takes no more memory
from a file of a gigabyte than from one of a kilobyte.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from metaflax.data import _pools
from metaflax.data._episodes import Episode, EpisodeSizes
from metaflax.data._examples import Examples
from metaflax.data._postings import Postings
from metaflax.data._text_index import TextIndex, word_places, words_in

# How often another draw is tried where texts do not suffice.
_TRIES = 100
# Candidates looked at for each text that is wanted.
_CANDIDATES = 4

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class MaskedWordSampler:
    r"""Draws tasks from raw text (SMLMT): which word was masked?

    A group of words is drawn, then words in it, then sentences of each that hold none
    of the other words, all uniformly and without replacement. A word is masked wherever
    it occurs in its sentence, as a whole and whatever its case. No text comes twice in
    an episode, even where the file has it on several lines.

    Attributes:
      index: the text.
      groups: numbers of words (of `index.words`) that may meet in a task.
      mask: what stands in place of a masked word, such as a tokenizer's `mask_token`.
      way: words a task, or (least, most), drawn uniformly.
      shot: support sentences a word, likewise.
      queries: query sentences a word, likewise.
      most_around: how many words of a sentence stay on either side of the first one
        that is masked; None for all.

    Raises:
      ValueError: if there is no group, one has fewer words than `way`, or a word
        occurs in fewer sentences than `shot + queries`; from `episode` if the
        sentences of the words are too much the same.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from metaflax.data import index_texts
      >>> lines = [f"{n} {pet} {what}" for n in range(4)
      ...          for pet, what in [("dogs", "bark"), ("cats", "purr")]]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.txt"
      ...     _ = path.write_text("\n".join(lines))
      ...     index = index_texts(path, cache_dir=folder)
      ...     words = list(index.words.names)
      ...     group = np.array([words.index("dogs"), words.index("cats")])
      ...     pets = MaskedWordSampler(index, (group,), "_", way=2, shot=1, queries=1)
      ...     episode = pets.episode(0, 0)
      ...     for row, target in zip(episode.support, episode.support_targets):
      ...         word = episode.classes[target]
      ...         print(words[word], "-", pets.shown(row, word))
      cats - 2 _ purr
      dogs - 0 _ bark

    References:
      Bansal et al., `Self-Supervised Meta-Learning for Few-Shot Natural Language
      Classification Tasks <https://arxiv.org/abs/2009.08445>`_, 2020. Departures: every
      occurrence in a sentence is masked, and sentences with two of a task's words are
      left out, since either would say what is asked.
    """

    index: TextIndex
    groups: tuple[np.ndarray, ...]
    mask: str
    way: _pools.Count
    shot: _pools.Count
    queries: _pools.Count
    most_around: int | None = None
    _draw: "_Draw" = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        sizes = self.way, self.shot, self.queries
        draw = _checked(self.index, self.index.words, self.groups, sizes, _apart)
        object.__setattr__(self, "_draw", draw)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self._draw.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the endless list that `seed` names, word by word.

        Its `classes` are numbers of words, `support` and `query` rows of the text.
        """
        return self._draw.episode(seed, index)

    def shown(self, row: int, number: int) -> str:
        """The text of a row with a word masked."""
        word = self.index.words.names[number]
        return masked(self.index.text(row), word, self.mask, self.most_around)


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
    _draw: "_Draw" = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        labels = self.index.labels
        if labels is None:
            raise ValueError(
                f"{self.index.path}: was indexed without labels; name their column."
            )
        sizes = self.way, self.shot, self.queries
        draw = _checked(self.index, labels, self.groups, sizes, _any_text)
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


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Draws names of postings, then rows of each.

    Attributes:
      index: the text.
      postings: what is drawn from.
      groups: numbers of names that may meet.
      way: names an episode, least and most.
      shot: support rows a name, likewise.
      queries: query rows a name, likewise.
      fits: `fits(text, name, names)`, whether a text may stand for a name in an
        episode of `names`.
    """

    index: TextIndex
    postings: Postings
    groups: tuple[np.ndarray, ...]
    way: _pools.Range
    shot: _pools.Range
    queries: _pools.Range
    fits: Callable[[str, str, frozenset[str]], bool]

    @property
    def sizes(self) -> EpisodeSizes:
        way = self.way[1]
        return EpisodeSizes(way, way * self.shot[1], way * self.queries[1])

    def episode(self, seed: int, index: int) -> Episode:
        rng = _pools.generator(seed, index)
        shot, queries = (_pools.uniform(rng, *r) for r in (self.shot, self.queries))
        for _ in range(_TRIES):
            group = self.groups[_pools.uniform(rng, 0, len(self.groups) - 1)]
            way = _pools.uniform(rng, *self.way)
            chosen = group[rng.choice(len(group), way, replace=False)]
            drawn = self._rows(rng, chosen.tolist(), shot + queries)
            if drawn is not None:
                break
        else:
            raise ValueError(
                f"{self.index.path}: {_TRIES} draws found no episode of"
                f" {shot + queries} different texts a class; add text, or lower way,"
                " shot or queries."
            )
        self.postings.release()
        local = np.arange(way, dtype=np.int32)
        return Episode(
            classes=tuple(chosen.tolist()),
            domain=None,
            support=drawn[:, :shot].ravel(),
            support_targets=local.repeat(shot),
            query=drawn[:, shot:].ravel(),
            query_targets=local.repeat(queries),
        )

    def _rows(
        self, rng: np.random.Generator, chosen: list[int], wanted: int
    ) -> np.ndarray | None:
        """Rows of each name `[way, wanted]`, or None where texts do not suffice."""
        names = [self.postings.names[number] for number in chosen]
        together, seen = frozenset(names), set()
        drawn = np.zeros((len(chosen), wanted), np.int32)
        for place, (number, name) in enumerate(zip(chosen, names, strict=True)):
            rows = self.postings.rows(number)
            most = min(len(rows), _CANDIDATES * wanted)
            found = 0
            for row in rows[rng.choice(len(rows), most, replace=False)].tolist():
                text = self.index.text(row)
                if text not in seen and self.fits(text, name, together):
                    seen.add(text)
                    drawn[place, found] = row
                    found += 1
                    if found == wanted:
                        break
            else:
                return None
        return drawn


def _apart(text: str, own: str, names: frozenset[str]) -> bool:
    """Whether of some words a text has its own alone."""
    return names.intersection(words_in(text)) == {own}


def _any_text(text: str, own: str, names: frozenset[str]) -> bool:
    return True


def _checked(
    index: TextIndex,
    postings: Postings,
    groups: Sequence[np.ndarray],
    sizes: tuple[_pools.Count, _pools.Count, _pools.Count],
    fits: Callable[[str, str, frozenset[str]], bool],
) -> _Draw:
    """A `_Draw` that has enough texts for way, shot and queries."""
    way = _pools.count_range("way", sizes[0], 2)
    shot = _pools.count_range("shot", sizes[1], 1)
    queries = _pools.count_range("queries", sizes[2], 1)
    wanted = shot[1] + queries[1]
    smallest = min(map(len, groups), default=0)
    if smallest < way[1]:
        raise ValueError(
            f"{index.path}: {len(groups)} groups, of which the smallest has"
            f" {smallest} classes, cannot make an episode of {way[1]}; lower way, or"
            " make larger groups."
        )
    counts = postings.counts[np.concatenate(groups)]
    if counts.min() < wanted:
        scarce = int((counts < wanted).sum())
        raise ValueError(
            f"{index.path}: an episode takes {wanted} texts of a class, and {scarce} of"
            f" {len(counts)} classes have fewer; leave them out, or lower shot or"
            " queries."
        )
    return _Draw(index, postings, tuple(groups), way, shot, queries, fits)


def masked_examples(
    index: TextIndex,
    words: np.ndarray,
    mask: str,
    *,
    least: int,
    most: int,
    seed: int = 0,
    most_around: int | None = None,
    name: str | None = None,
) -> Examples:
    r"""Sentences with a masked word as labelled examples, the word their label.

    Each holds one of the words and none of the others, and none comes twice.

    Args:
      index: the text.
      words: numbers of words.
      mask: what stands in their place.
      least: words with fewer such sentences are left out.
      most: sentences of a word that are taken at most.
      seed: draws them.
      most_around: see `MaskedWordSampler`.
      name: what messages call the examples; by default the path of the text.

    Returns:
      The examples, word by word.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from metaflax.data import index_texts
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.txt"
      ...     _ = path.write_text("dogs bark\nmy dogs\ncats purr\ndogs and cats")
      ...     index = index_texts(path, cache_dir=folder)
      ...     words = np.arange(len(index.words))
      ...     examples = masked_examples(index, words, "_", least=1, most=2)
      >>> sorted(zip(examples.texts, examples.labels))
      [('_ bark', ('dogs',)), ('_ purr', ('cats',)), ('my _', ('dogs',))]
    """
    names = [index.words.names[number] for number in words.tolist()]
    together = frozenset(names)
    rng = _pools.generator(seed, 0)
    seen: set[str] = set()
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    for number, word in zip(words.tolist(), names, strict=True):
        rows = index.words.rows(number)
        tried = rng.choice(len(rows), min(len(rows), _CANDIDATES * most), replace=False)
        fitting = dict.fromkeys(
            text
            for text in map(index.text, rows[tried].tolist())
            if text not in seen and _apart(text, word, together)
        )
        if len(fitting) < least:
            continue
        for text in list(fitting)[:most]:
            seen.add(text)
            texts.append(masked(text, word, mask, most_around))
            labels.append((word,))
    return Examples(name or str(index.path), tuple(texts), tuple(labels))


def masked(text: str, word: str, mask: str, most_around: int | None = None) -> str:
    """A text with a word masked wherever it occurs, whatever its case.

    Args:
      text: any text.
      word: lower-cased.
      mask: what takes its place.
      most_around: how many words stay on either side of the first place; None for all.

    Returns:
      The text, or a piece of it.

    Examples:
      >>> masked("A dog is a dogged dog. Dog!", "dog", "[MASK]")
      'A [MASK] is a dogged [MASK]. [MASK]!'
      >>> masked("this is how a dog barks at night", "dog", "[MASK]", most_around=2)
      'how a [MASK] barks at'
    """
    places = word_places(text)
    found = [n for n, (a, b) in enumerate(places) if text[a:b].lower() == word]
    if not found:
        return text
    first, last = 0, len(places)
    if most_around is not None:
        first = max(found[0] - most_around, 0)
        last = min(found[0] + most_around + 1, last)
    reached = places[first][0] if first else 0
    parts = []
    for start, end in (places[n] for n in found if n < last):
        parts += [text[reached:start], mask]
        reached = end
    end = places[last - 1][1] if last < len(places) else len(text)
    return "".join([*parts, text[reached:end]])


def share_out(
    items: Callable[[int], Item], reader: int, num_readers: int, start: int = 0
) -> Iterator[tuple[int, Item]]:
    """The part of an endless list that one of several readers makes.

    Whatever their number, all of them together make the same list; `sorted` by number
    it is that of one reader.

    Args:
      items: `item = items(index)`, the same whoever asks, such as the episode of a
        sampler.
      reader: which of the readers this is.
      num_readers: how many there are.
      start: where the list begins.

    Yields:
      (index, item) of every `num_readers`-th index.

    Raises:
      ValueError: if there is no such reader.

    Examples:
      >>> squares = share_out(lambda index: index**2, reader=1, num_readers=4)
      >>> next(squares), next(squares)
      ((1, 1), (5, 25))
    """
    if not 0 <= reader < num_readers:
        raise ValueError(f"there is no reader {reader} among {num_readers}.")
    return ((n, items(n)) for n in _every(start + reader, num_readers))


def _every(start: int, step: int) -> Iterator[int]:
    while True:
        yield start
        start += step
