"""Raw text for subset masked language modelling tasks (SMLMT), and held-out words.

Training tasks are sampled from the text when they are needed. Validation and test words
are disjoint from training words; enough of their sentences for a few hundred episodes
are read into memory once, as ordinary labelled examples.
"""

from collections.abc import Sequence

import jax
import numpy as np

from metaflax import data, tasks, tree
from metaflax.config import Config, EpisodeConfig
from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.raw_text._smlmt import masked_examples
from metaflax.data.raw_text._word_groups import embedding_clusters
from metaflax.workflows.runs._episodes import most, texts_of_a_class
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._streamed_episodes import FromDisk

# Largest number of words of a held-out split, and its largest share of all words.
MOST_WORDS = 50
SHARE = 0.1
# Largest number of sentences of a held-out word, unless an episode needs more.
SENTENCES = 40


def load_masked_words(
    config: Config, model: LoadedModel
) -> tuple[data.Splits, FromDisk]:
    """Indexes raw text and splits its words.

    Returns:
      Splits with validation and test examples and an empty training split, and the
      training episodes.

    Raises:
      ValueError: if the text is invalid, or too few words are frequent enough.
    """
    if not config.data.path:
        raise ValueError("no text is named; give --data FILE.")
    index = data.index_texts(config.data.path, text=config.data.text)
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
    groups = ", ".join(str(len(group)) for group in sampler.groups)
    description = f"{len(index)} texts with words to mask in groups of {groups}"
    form = tasks.MASKED_TEXT
    return splits, FromDisk(sampler, model, config, form, len(index), description)


def _split_words(
    index: TextIndex, config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits the words within the frequency bands into train, valid and test."""
    edges, sizes = config.data.word_bands, config.episodes
    bands = data.frequency_bands(index, edges)
    words = np.concatenate(bands)
    least = max(map(texts_of_a_class, (sizes, sizes.training())))
    words = words[index.words.counts[words] >= least]
    held_out = max(min(MOST_WORDS, int(SHARE * len(words))), most(sizes.way))
    trained_on = most(sizes.training().way)
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
    index: TextIndex,
    words: np.ndarray,
    sizes: EpisodeConfig,
    config: Config,
    model: LoadedModel,
) -> tuple[np.ndarray, ...]:
    """Groups words that may occur in one task, leaving out groups below `way` words."""
    clusters = config.data.word_clusters
    if clusters:
        vectors = word_vectors(model, [index.words.names[n] for n in words.tolist()])
        seed = config.data.split_seed
        groups = embedding_clusters(vectors, words, clusters, seed)
    else:
        groups = data.frequency_bands(index, config.data.word_bands, words)
    way = most(sizes.way)
    large = tuple(group for group in groups if len(group) >= way)
    if not large:
        kind = "clusters" if clusters else "bands"
        counts = ", ".join(str(len(group)) for group in groups)
        raise ValueError(
            f"{index.path}: the {kind} have {counts} words, and a task takes {way} of"
            f" one; ask for fewer {kind}, give more text, or lower way."
        )
    return large


def word_vectors(model: LoadedModel, words: Sequence[str]) -> np.ndarray:
    """Computes the mean embedding of the subwords of each word, `[words, D]`."""
    path = model.family.word_embedding
    if path is None:
        raise ValueError(
            f"word_clusters needs word embeddings, which {model.pretrained.directory}"
            " lacks; set word_clusters to 0."
        )
    [table] = jax.tree.leaves(tree.select(model.pretrained.params, path))
    table = np.asarray(table)
    pieces = model.tokenizer(list(words), add_special_tokens=False)["input_ids"]
    flat = table[np.concatenate([np.asarray(ids, np.int64) for ids in pieces])]
    lengths = np.array([len(ids) for ids in pieces])
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.add.reduceat(flat, first) / lengths[:, None]


def _held_out(
    index: TextIndex,
    words: np.ndarray,
    config: Config,
    model: LoadedModel,
    split: str,
) -> data.Examples:
    return masked_examples(
        index,
        words,
        model.tokenizer.mask_token,
        least=texts_of_a_class(config.episodes),
        most=max(SENTENCES, texts_of_a_class(config.episodes)),
        seed=config.data.split_seed,
        most_around=config.data.max_length,
        name=f"{index.path} ({split})",
    )
