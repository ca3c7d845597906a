"""Meta-training on labelled texts that stay on disk, and held-out ones to judge it by.

Training tasks are read from disk as they are drawn. Of validation and test classes,
which are no class of any training task, as many texts as a few hundred episodes have
use for are read once; from there on they are data like any other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metaflax import data
from metaflax.config import Config, DataConfig, EpisodeConfig
from metaflax.workflows.runs._streamed_episodes import most, texts_of_a_class

# Classes of a held-out split, at most, unless an episode takes more.
MOST_CLASSES = 200
# Texts of a held-out class, likewise.
TEXTS = 40


class OnDisk(NamedTuple):
    """Labelled texts on disk, and some of them in memory.

    Attributes:
      splits: validation and test examples, with no examples of training.
      sampler: draws the episodes of training.
      num_rare: classes of training with fewer texts than an episode takes.
    """

    splits: data.Splits
    sampler: data.LabelledTextSampler
    num_rare: int

    @property
    def num_texts(self) -> int:
        """How many texts training draws from."""
        counts = self.sampler.index.labels.counts
        return int(sum(counts[group].sum() for group in self.sampler.groups))

    @property
    def said(self) -> str:
        """What there is to train on, for a message."""
        num_classes = sum(map(len, self.sampler.groups))
        rare = f", {self.num_rare} with too few texts left out" if self.num_rare else ""
        return f"{self.num_texts} texts of {num_classes} classes on disk{rare}"


def labelled_on_disk(config: Config) -> OnDisk:
    """Indexes labelled texts and splits their classes, as they would be in memory.

    Classes with fewer texts than an episode takes are left out.

    Raises:
      ValueError: for anything wrong with the data or the split, or too few classes of
        training.
    """
    chosen = config.data
    if not chosen.path:
        raise ValueError("no data is named; give --data FILE.")
    index = data.index_labels(chosen.path, text=chosen.text, label=chosen.label)
    parts, num_unused = _split(index, chosen)
    splits = data.Splits(
        data.Examples(f"{index.path} (train)", (), ()),
        _held_out(index, parts["valid"], config, "valid"),
        _held_out(index, parts["test"], config, "test"),
        num_unused=num_unused,
    )
    sampler = _sampler(index, parts["train"], config)
    return OnDisk(splits, sampler, len(parts["train"]) - len(sampler.groups[0]))


def _split(
    index: data.TextIndex, config: DataConfig
) -> tuple[dict[str, np.ndarray], int]:
    """Numbers of the labels of each split, and how many texts are in none."""
    names, source = list(index.labels.names), str(index.path)
    chosen, where = _chosen(names, source, config)
    data.check_names(chosen, names, where, source)
    numbers = {name: number for number, name in enumerate(names)}
    parts = {
        split: np.array([numbers[name] for name in chosen[split]], np.int64)
        for split in ("train", "valid", "test")
    }
    used = sum(int(index.labels.counts[part].sum()) for part in parts.values())
    return parts, len(index) - used


def _chosen(
    names: Sequence[str], source: str, config: DataConfig
) -> tuple[Mapping[str, Sequence[str]], str]:
    """The names of each split, and what messages call where they are from."""
    if config.split_names is not None:
        return config.split_names, "the split"
    if config.split_file is not None:
        return data.names_by_file(config.split_file, config.fold), config.split_file
    seed = config.split_seed
    return data.names_by_seed(names, seed, source=source), f"seed {seed}"


def _held_out(
    index: data.TextIndex, labels: np.ndarray, config: Config, split: str
) -> data.Examples:
    wanted = texts_of_a_class(config.episodes)
    examples = data.labelled_examples(
        index,
        labels,
        least=wanted,
        most=max(TEXTS, wanted),
        most_labels=max(MOST_CLASSES, most(config.episodes.way)),
        seed=config.data.split_seed,
        name=f"{index.path} ({split})",
    )
    found = len(examples.label_names)
    _check_enough(examples.name, found, len(labels), config.episodes)
    return examples


def _sampler(
    index: data.TextIndex, labels: np.ndarray, config: Config
) -> data.LabelledTextSampler:
    sizes = config.episodes.training()
    enough = index.labels.counts[labels] >= texts_of_a_class(sizes)
    group = np.sort(labels[enough])
    _check_enough(f"{index.path} (train)", len(group), len(labels), sizes)
    return data.LabelledTextSampler(
        index, (group,), sizes.way, sizes.shot, sizes.queries
    )


def _check_enough(
    name: str, num_found: int, num_classes: int, sizes: EpisodeConfig
) -> None:
    way = most(sizes.way)
    if num_found < way:
        raise ValueError(
            f"{name}: of {num_classes} classes {num_found} have the"
            f" {texts_of_a_class(sizes)} different texts that an episode takes of each"
            f" of its {way}; lower way, shot or queries, or add texts."
        )
