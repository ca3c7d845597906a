"""Labelled texts on disk for meta-training, with held-out classes in memory.

Training tasks are read from disk when they are sampled. Validation and test classes are
disjoint from training classes; enough of their texts for a few hundred episodes are
read into memory once, as ordinary examples.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metaflax import data
from metaflax._wording import counted
from metaflax.config import Config, DataConfig, EpisodeConfig
from metaflax.data.on_disk._labelled_texts import labelled_examples
from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.sources._equal_texts import label_notes
from metaflax.data.sources._examples import listing
from metaflax.data.sources._splits import check_names, label_names, names_by_file
from metaflax.workflows.runs._episodes import most, texts_of_a_class

# Largest number of classes of a held-out split, unless an episode needs more.
MOST_CLASSES = 200
# Largest number of texts of a held-out class, unless an episode needs more.
TEXTS = 40


class OnDisk(NamedTuple):
    """Labelled texts on disk, with held-out examples in memory.

    Attributes:
      splits: validation and test examples; the training split is empty.
      sampler: sampler of training episodes.
      num_rare: number of training classes with fewer texts than an episode needs.
    """

    splits: data.Splits
    sampler: data.LabelledTextSampler
    num_rare: int

    @property
    def num_texts(self) -> int:
        """Number of texts that training episodes are sampled from."""
        counts = self.sampler.index.labels.counts
        return int(sum(counts[group].sum() for group in self.sampler.groups))

    @property
    def description(self) -> str:
        """Description of the training texts for a message."""
        num_classes = sum(map(len, self.sampler.groups))
        rare = f", {self.num_rare} with too few texts left out" if self.num_rare else ""
        classes = counted(num_classes, "class", "classes")
        return f"{counted(self.num_texts, 'text')} of {classes} on disk{rare}"


def labelled_on_disk(config: Config) -> OnDisk:
    """Indexes labelled texts and splits their classes as for texts in memory.

    Classes with fewer texts than an episode needs are left out.

    Raises:
      ValueError: if the data or the split are invalid, or a split has too few classes.
    """
    settings = config.data
    if not settings.path:
        raise ValueError("no data is named; give --data FILE.")
    index = data.index_labels(
        settings.path,
        text=settings.text,
        label=settings.label,
        split=settings.split,
        encoding=settings.encoding,
    )
    parts, num_unused = _split(index, settings)
    splits = data.Splits(
        data.Examples(
            f"{index.path} (train)", (), (), notes=_notes(index, parts, config)
        ),
        _held_out(index, parts["valid"], config, "valid"),
        _held_out(index, parts["test"], config, "test"),
        num_unused=num_unused,
    )
    sampler = _sampler(index, parts["train"], config)
    return OnDisk(splits, sampler, len(parts["train"]) - len(sampler.groups[0]))


def _split(index: TextIndex, config: DataConfig) -> tuple[dict[str, np.ndarray], int]:
    """Returns the label numbers of each split, and the number of texts in no split."""
    names, source = list(index.labels.names), str(index.path)
    names_by_split, where = _split_names(names, source, config)
    names_by_split = label_names(names_by_split)
    check_names(names_by_split, names, where, source)
    numbers = {name: number for number, name in enumerate(names)}
    parts = {
        split: np.array([numbers[name] for name in names_by_split[split]], np.int64)
        for split in ("train", "valid", "test")
    }
    used = sum(int(index.labels.counts[part].sum()) for part in parts.values())
    return parts, len(index) - used


def _notes(
    index: TextIndex, parts: Mapping[str, np.ndarray], config: Config
) -> tuple[str, ...]:
    """Describes labels with similar names, and classes that are left out."""
    notes, postings = label_notes(index.labels.names, {}), index.labels
    for split, labels in parts.items():
        sizes = config.episodes.training() if split == "train" else config.episodes
        least = texts_of_a_class(sizes)
        if len(rare := labels[postings.counts[labels] < least]):
            names = [postings.names[number] for number in rare.tolist()]
            classes = counted(len(rare), "class", "classes")
            notes.append(
                f"{classes} of meta-{split} with fewer than {counted(least, 'text')}:"
                f" {listing(names)}; left out."
            )
    return tuple(f"{index.path}: {note}" for note in notes)


def _split_names(
    names: Sequence[str], source: str, config: DataConfig
) -> tuple[Mapping[str, Sequence[str]], str]:
    """Returns the class names of each split, and their origin for messages."""
    if config.split_names is not None:
        return config.split_names, "the split"
    if config.split_file is not None:
        return names_by_file(config.split_file, config.fold), config.split_file
    seed = config.split_seed
    return data.names_by_seed(names, seed, source=source), f"seed {seed}"


def _held_out(
    index: TextIndex, labels: np.ndarray, config: Config, split: str
) -> data.Examples:
    num_needed = texts_of_a_class(config.episodes)
    examples = labelled_examples(
        index,
        labels,
        least=num_needed,
        most=max(TEXTS, num_needed),
        most_labels=max(MOST_CLASSES, most(config.episodes.way)),
        seed=config.data.split_seed,
        name=f"{index.path} ({split})",
    )
    num_kept = len(examples.label_names)
    _check_enough(examples.name, num_kept, len(labels), config.episodes)
    return examples


def _sampler(
    index: TextIndex, labels: np.ndarray, config: Config
) -> data.LabelledTextSampler:
    sizes = config.episodes.training()
    enough = index.labels.counts[labels] >= texts_of_a_class(sizes)
    group = np.sort(labels[enough])
    _check_enough(f"{index.path} (train)", len(group), len(labels), sizes)
    return data.LabelledTextSampler(
        index, (group,), sizes.way, sizes.shot, sizes.queries
    )


def _check_enough(
    name: str, num_kept: int, num_classes: int, sizes: EpisodeConfig
) -> None:
    way = most(sizes.way)
    if num_kept < way:
        raise ValueError(
            f"{name}: of {num_classes} classes {num_kept} have the"
            f" {texts_of_a_class(sizes)} different texts that an episode needs of each"
            f" of its {way} classes; lower way, shot or queries, or add texts."
        )
