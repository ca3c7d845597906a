"""Episode sizes derived from the data, so that a folder's path is enough to run it.

The sizes of config.py are upper bounds, and what CLINC150 gets; see README.md.
"""

import collections
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from metaflax import config as config_lib
from metaflax import data, workflows
from metaflax._wording import counted

# Share of the training classes in an episode; below 1, so that episodes differ.
SHARE = 0.8
# Maximum number of support texts per class at test time.
MOST_SHOTS = 5
LONGEST = 128
# Clusters are noisy, and there are about three times as many classes.
STEPS_WITH_CLUSTERS = 2


def episode_sizes(
    most: config_lib.EpisodeConfig,
    train: Sequence[int],
    held_out: Mapping[str, Sequence[int]],
) -> config_lib.EpisodeConfig:
    """Fits sizes of episodes to the number of classes and of their texts.

    Training episodes have four fifths of the training classes, others as many classes
    as all held-out splits have; queries are what the smallest class has left.

    Args:
      most: upper bounds, such as those of config.py.
      train: number of different texts of each training class.
      held_out: numbers of different texts of each class, by split, such as `test`.

    Raises:
      ValueError: if a split has one class, a training class one text, or a held-out
        class too few texts for five support texts and a query.

    Examples:
      >>> most = config_lib.EpisodeConfig(
      ...     way=5, queries=5, train_way=40, train_queries=2
      ... )
      >>> fitted = episode_sizes(most, [30] * 18, {"valid": [30] * 18, "test": [8] * 4})
      >>> fitted.train_way, fitted.way, fitted.queries
      (14, 4, 3)
    """
    bounds = most.training()
    _check_counts("train", train, _largest(bounds.shot))
    for split, counts in held_out.items():
        _check_counts(split, counts, MOST_SHOTS)
    queries = min(min(counts) for counts in held_out.values()) - MOST_SHOTS
    left = min(train) - _largest(bounds.shot)
    return dataclasses.replace(
        most,
        way=min(_largest(most.way), *map(len, held_out.values())),
        queries=min(_largest(most.queries), queries),
        train_way=min(_largest(bounds.way), max(2, round(SHARE * len(train)))),
        train_queries=min(_largest(bounds.queries), left),
    )


def _check_counts(split: str, counts: Sequence[int], shot: int) -> None:
    """Raises if there are too few classes for an episode, or texts of a class."""
    if len(counts) < 2:
        raise ValueError(
            f"{split} has 1 class, and an episode takes at least 2; give it more in"
            " the split file."
        )
    if min(counts) <= shot:
        raise ValueError(
            f"a class of {split} has {counted(min(counts), 'different text')}, up to"
            f" case and white space, and an episode takes"
            f" {counted(shot, 'support text')} and a query; leave such classes out of"
            " the split file."
        )


def num_clusters(train: Sequence[int], num_unlabelled: int) -> int:
    """Returns the number of clusters for texts without labels.

    A cluster has as many texts as a training class on average.

    Examples:
      >>> num_clusters(train=[150] * 50, num_unlabelled=15_000)
      100
    """
    return max(2, round(num_unlabelled / (sum(train) / len(train))))


def max_length(lengths: Sequence[int]) -> int:
    """Returns the tokens of the longest text, rounded up to 16, and 128 at most.

    Examples:
      >>> max_length([11, 33]), max_length([11, 900])
      (48, 128)
    """
    return min(LONGEST, 16 * math.ceil(max(lengths) / 16))


class Recipe(NamedTuple):
    """The configs of a fold, with sizes of its data.

    Attributes:
      labelled: config to meta-train on labelled classes; episodes can be drawn of
        validation and of test classes.
      unlabelled: texts of the other classes, in the order of the file.
      num_clusters: number of clusters of these texts.
      both: config to meta-train on labelled classes and these clusters.
      test: sizes of test episodes, whatever the validation classes are.
    """

    labelled: config_lib.Config
    unlabelled: list[str]
    num_clusters: int
    both: config_lib.Config
    test: config_lib.EpisodeConfig


def fit(config: config_lib.Config) -> Recipe:
    """Returns the recipe for the data and the fold of a config.

    Raises:
      ValueError: if the data cannot be read, or a class has too few texts.
    """
    assert config.data.split_file is not None  # config.py sets one.
    examples = data.read(config.data.path)
    splits = data.split_by_file(examples, config.data.split_file, config.data.fold)
    unlabelled = _texts_of_others(examples, splits.train.label_names)
    train, test = _counts(splits.train), _counts(splits.test)
    held_out = {"valid": _counts(splits.valid), "test": test}
    texts = [*splits.train.texts, *splits.valid.texts, *splits.test.texts]
    encoded = workflows.load_model(config.model).tokenizer(texts, verbose=False)
    length = max_length([*map(len, encoded["input_ids"])])
    source = dataclasses.replace(config.data, max_length=length)
    sizes = episode_sizes(config.episodes, train, held_out)
    labelled = dataclasses.replace(config, data=source, episodes=sizes)
    number = num_clusters(train, len(unlabelled))
    training = config.training
    longer = dataclasses.replace(
        training,
        steps=STEPS_WITH_CLUSTERS * training.steps,
        eval_every=STEPS_WITH_CLUSTERS * training.eval_every,
    )
    both = dataclasses.replace(
        config,
        # K-means also makes clusters of one text.
        data=dataclasses.replace(source, rare_classes="drop"),
        episodes=episode_sizes(
            config.episodes, [*train, *[max(train)] * number], held_out
        ),
        training=longer,
    )
    of_test = episode_sizes(config.episodes, train, {"test": test})
    tested = dataclasses.replace(sizes, way=of_test.way, queries=of_test.queries)
    return Recipe(labelled, unlabelled, number, both, tested)


def _texts_of_others(examples: data.Examples, names: Collection[str]) -> list[str]:
    """Returns the texts that have no label of these names."""
    return [
        text
        for text, labels in zip(examples.texts, examples.labels, strict=True)
        if not set(labels).intersection(names)
    ]


def _counts(examples: data.Examples) -> list[int]:
    """Counts different texts of each class, as samplers tell them apart."""
    groups, texts = examples.groups, collections.defaultdict(set)
    for row, labels in enumerate(examples.labels):
        for label in labels:
            texts[label].add(row if groups is None else groups[row])
    return [*map(len, texts.values())]


def _largest(size: config_lib.Count) -> int:
    return size if isinstance(size, int) else size[1]
