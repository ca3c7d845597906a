"""Meta-training on words masked in raw text (SMLMT), and held-out words to judge it by.

Training tasks are drawn from the text as they are needed. Validation and test words,
which are no class of any training task, become labelled examples once, as many as a
few hundred episodes have use for; from there on they are data like any other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from metaflax import base, data, tasks
from metaflax.config import Config, EpisodeConfig
from metaflax.workflows._episodes import batches, coarse_up_to
from metaflax.workflows._model import Model

# Words of a held-out split, at most, and the share of all words that one is.
MOST_WORDS = 50
SHARE = 0.1
# Sentences of a held-out word, unless an episode takes more.
SENTENCES = 40


class MaskedWords(NamedTuple):
    """The endless masked-word episodes of a text.

    Attributes:
      sampler: draws them.
      model: its tokenizer reads them.
      config: how long a text may be.
      room: for how many classes there is room, where that is more than they have.
    """

    sampler: data.MaskedWordSampler
    model: Model
    config: Config
    room: int = 0

    @property
    def sizes(self) -> data.EpisodeSizes:
        """The largest episode, with the room that there is for classes."""
        sizes = self.sampler.sizes
        return sizes._replace(num_classes=max(self.room, sizes.num_classes))

    @property
    def buckets(self) -> data.Buckets:
        """The shapes that episodes are padded to."""
        return coarse_up_to(self.config.data.max_length)

    @property
    def num_texts(self) -> int:
        """How many texts episodes are drawn from."""
        return len(self.sampler.index)

    @property
    def num_shapes(self) -> int:
        """How many shapes batches have at most."""
        _, num_support, num_queries = self.sizes
        return self.buckets.num_shapes(num_support, num_queries)

    def collate(
        self, episodes: Sequence[data.Episode], share: np.ndarray | None = None
    ) -> base.Task:
        """A stack of episodes as arrays of tokens, or a share of one."""
        return data.collate_shown(
            episodes,
            self.sampler,
            self._tokenize,
            buckets=self.buckets,
            share=share,
            **self.sizes._asdict(),
        )

    def stream(
        self, seed: int, step: int, size: int, share: np.ndarray | None = None
    ) -> Iterator[base.Task]:
        """The batches of `step` and all later ones, or a share of each."""
        return batches(self.sampler, self.collate, seed, step, size, share)

    def summary(self, by: str) -> str:
        """What there is, for a message."""
        del by  # Classes are words.
        sizes = ", ".join(str(len(group)) for group in self.sampler.groups)
        index = self.sampler.index
        return f"{len(index)} texts with words to mask in groups of {sizes}"

    def _tokenize(self, texts: list[str]) -> data.TokenizedTexts:
        return data.tokenize(
            self.model.tokenizer,
            texts,
            max_length=self.config.data.max_length,
            form=tasks.MASKED_TEXT,
            on_long=self.config.data.on_long,
            max_positions=self.model.pretrained.config.max_position_embeddings,
        )


def load_masked_words(config: Config, model: Model) -> tuple[data.Splits, MaskedWords]:
    """Indexes a text and splits its words.

    Returns:
      Validation and test examples, with no examples of training, and the episodes of
      training.

    Raises:
      ValueError: for anything wrong with the text, or too few words that qualify.
    """
    if not config.data.data:
        raise ValueError("no text is named; give --data FILE.")
    index = data.index_texts(config.data.data, text=config.data.text)
    train, valid, test = _split_words(index, config)
    sizes = config.episodes.training()
    sampler = data.MaskedWordSampler(
        index,
        _groups(index, train, sizes, config, model),
        model.tokenizer.mask_token,
        sizes.way,
        sizes.shot,
        sizes.queries,
        most_around=config.data.max_length,
    )
    splits = data.Splits(
        data.Examples(f"{index.path} (train)", (), ()),
        _held_out(index, valid, config, model, "valid"),
        _held_out(index, test, config, model, "test"),
    )
    return splits, MaskedWords(sampler, model, config)


def _most(count: int | tuple[int, int]) -> int:
    return count if isinstance(count, int) else count[1]


def _texts_of_a_class(sizes: EpisodeConfig) -> int:
    return _most(sizes.shot) + _most(sizes.queries)


def _split_words(
    index: data.TextIndex, config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words of training, validation and test, of those that occur as often as asked."""
    edges, sizes = config.data.word_bands, config.episodes
    bands = data.frequency_bands(index, edges)
    words = np.concatenate(bands)
    least = max(map(_texts_of_a_class, (sizes, sizes.training())))
    words = words[index.words.counts[words] >= least]
    held_out = max(min(MOST_WORDS, int(SHARE * len(words))), _most(sizes.way))
    trained_on = _most(sizes.training().way)
    if len(words) < trained_on + 2 * held_out:
        raise ValueError(
            f"{index.path}: of {len(index)} texts {len(words)} words qualify, which"
            f" occur in {max(edges[0], least)} to {edges[-1] - 1} of them, and tasks of"
            f" training, validation and test take {trained_on}, {held_out} and"
            f" {held_out}; give more text, widen word_bands, or lower way, shot or"
            " queries."
        )
    rng = np.random.Generator(np.random.Philox(key=config.data.split_seed))
    order = rng.permutation(words)
    valid, test, train = np.split(order, [held_out, 2 * held_out])
    return np.sort(train), valid, test


def _groups(
    index: data.TextIndex,
    words: np.ndarray,
    sizes: EpisodeConfig,
    config: Config,
    model: Model,
) -> tuple[np.ndarray, ...]:
    """Which words may meet in a task, as far as there are enough of them."""
    clusters = config.data.word_clusters
    if clusters:
        vectors = word_vectors(model, [index.words.names[n] for n in words.tolist()])
        seed = config.data.split_seed
        groups = data.embedding_clusters(vectors, words, clusters, seed)
    else:
        groups = data.frequency_bands(index, config.data.word_bands, words)
    way = _most(sizes.way)
    large = tuple(group for group in groups if len(group) >= way)
    if not large:
        what = "clusters" if clusters else "bands"
        found = ", ".join(str(len(group)) for group in groups)
        raise ValueError(
            f"{index.path}: the {what} have {found} words, and a task takes {way} of"
            f" one; ask for fewer {what}, give more text, or lower way."
        )
    return large


def word_vectors(model: Model, words: Sequence[str]) -> np.ndarray:
    """The mean of the word embeddings of each word's pieces, `[words, D]`."""
    table = np.asarray(model.pretrained.params["embeddings"]["word"])
    pieces = model.tokenizer(list(words), add_special_tokens=False)["input_ids"]
    flat = table[np.concatenate([np.asarray(ids, np.int64) for ids in pieces])]
    lengths = np.array([len(ids) for ids in pieces])
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.add.reduceat(flat, first) / lengths[:, None]


def _held_out(
    index: data.TextIndex, words: np.ndarray, config: Config, model: Model, split: str
) -> data.Examples:
    return data.masked_examples(
        index,
        words,
        model.tokenizer.mask_token,
        least=_texts_of_a_class(config.episodes),
        most=max(SENTENCES, _texts_of_a_class(config.episodes)),
        seed=config.data.split_seed,
        most_around=config.data.max_length,
        name=f"{index.path} ({split})",
    )
