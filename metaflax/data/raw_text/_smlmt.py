"""Masked-word classification tasks from raw text (SMLMT)."""

import dataclasses

import numpy as np

from metaflax.data.on_disk import _index_draw
from metaflax.data.on_disk._text_index import TextIndex, word_places, words_in
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class MaskedWordSampler:
    r"""Samples SMLMT episodes from raw text: the classes are masked words.

    A group of words is drawn, then words in it, then sentences of each word that
    contain none of the others, all uniformly and without replacement. All occurrences
    of the word in a sentence are masked, as whole words and in any case. A text occurs
    once in an episode, even if the file has it on several lines.

    Attributes:
      index: the indexed text.
      groups: groups of words, as indices into `index.words`; the classes of an episode
        are from one group.
      mask: replacement of a masked word, such as a tokenizer's `mask_token`.
      way: words per episode, or (least, most), drawn uniformly.
      shot: support sentences per word, or (least, most), drawn uniformly.
      queries: query sentences per word, or (least, most), drawn uniformly.
      most_around: number of words kept on either side of the first masked one; None
        for all.

    Raises:
      ValueError: if there is no group, a group has fewer words than `way`, or a word
        occurs in fewer sentences than `shot + queries`; from `episode` if too many
        sentences of the words are the same.

    Examples:
      >>> import numpy as np
      >>> from metaflax.data import MaskedWordSampler
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
      ...         print(words[word], "-", pets.text(row, word))
      cats - 2 _ purr
      dogs - 0 _ bark

    References:
      Bansal et al., `Self-Supervised Meta-Learning for Few-Shot Natural Language
      Classification Tasks <https://arxiv.org/abs/2009.08445>`_, 2020. Departures: every
      occurrence in a sentence is masked, and sentences with two of a task's words are
      left out, since either would reveal the label.
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
        draw = _index_draw.checked_draw(
            self.index, "words", self.groups, sizes, _holds_only
        )
        object.__setattr__(self, "_draw", draw)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        return self._draw.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`, ordered by word.

        Its `classes` are indices of words, `support` and `query` rows of the text.
        """
        return self._draw.episode(seed, index)

    @property
    def class_names(self) -> list[str]:
        """Names of the masked words that may occur in an episode."""
        names = self.index.words.names
        return [names[n] for group in self.groups for n in group.tolist()]

    def text(self, row: int, number: int) -> str:
        """Reads the text of a row with word `number` masked."""
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
    r"""Builds labelled examples of sentences whose label is their masked word.

    Each sentence contains exactly one of the words, and occurs once.

    Args:
      index: the indexed text.
      words: indices of words.
      mask: replacement of a masked word.
      least: minimum number of sentences of a word; words with fewer are left out.
      most: maximum number of sentences of a word.
      seed: seed for sampling sentences.
      most_around: see `MaskedWordSampler`.
      name: name of the examples in messages; by default the path of the text.

    Returns:
      The examples, ordered by word.

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
    all_names = frozenset(names)
    rng = _pools.generator(seed, 0)
    seen: set[str] = set()
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    for number, word in zip(words.tolist(), names, strict=True):
        rows = index.words.rows(number)
        candidates = rng.choice(
            len(rows), min(len(rows), _index_draw.CANDIDATES * most), replace=False
        )
        sentences = dict.fromkeys(
            text
            for text in map(index.text, rows[candidates].tolist())
            if text not in seen and _holds_only(text, word, all_names)
        )
        if len(sentences) < least:
            continue
        for text in list(sentences)[:most]:
            seen.add(text)
            texts.append(masked(text, word, mask, most_around))
            labels.append((word,))
    return Examples(name or str(index.path), tuple(texts), tuple(labels))


def masked(text: str, word: str, mask: str, most_around: int | None = None) -> str:
    """Masks every occurrence of a word in a text, in any case.

    Args:
      text: any text.
      word: the word, in lower case.
      mask: replacement of the word.
      most_around: number of words kept on either side of the first occurrence; None for
        all.

    Returns:
      The masked text, or the part of it around the first occurrence.

    Examples:
      >>> from metaflax.data import masked
      >>> masked("A dog is a dogged dog. Dog!", "dog", "[MASK]")
      'A [MASK] is a dogged [MASK]. [MASK]!'
      >>> masked("this is how a dog barks at night", "dog", "[MASK]", most_around=2)
      'how a [MASK] barks at'
    """
    spans = word_places(text)
    matches = [n for n, (a, b) in enumerate(spans) if text[a:b].lower() == word]
    if not matches:
        return text
    first, last = 0, len(spans)
    if most_around is not None:
        first = max(matches[0] - most_around, 0)
        last = min(matches[0] + most_around + 1, last)
    position = spans[first][0] if first else 0
    parts = []
    for start, end in (spans[n] for n in matches if n < last):
        parts += [text[position:start], mask]
        position = end
    end = spans[last - 1][1] if last < len(spans) else len(text)
    return "".join([*parts, text[position:end]])


def _holds_only(text: str, word: str, names: frozenset[str]) -> bool:
    """Returns whether `word` is the only one of `names` in a text."""
    return names.intersection(words_in(text)) == {word}
