"""Words masked in raw text as classes (SMLMT), drawn as they are needed."""

import dataclasses

import numpy as np

from metaflax.data.on_disk import _index_draw
from metaflax.data.on_disk._text_index import TextIndex, word_places, words_in
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


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
    _draw: _index_draw.IndexDraw = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self):
        sizes = self.way, self.shot, self.queries
        draw = _index_draw.checked_draw(self.index, "words", self.groups, sizes, _apart)
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
        tried = rng.choice(
            len(rows), min(len(rows), _index_draw.CANDIDATES * most), replace=False
        )
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


def _apart(text: str, own: str, names: frozenset[str]) -> bool:
    """Whether of some words a text has its own alone."""
    return names.intersection(words_in(text)) == {own}
