"""Episode sizes derived from the data, so that a folder's path is enough to run it.

The sizes of config.py are upper bounds, and what CLINC150 gets; see README.md.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metaflax import config as config_lib
from metaflax import data, workflows

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

    Training episodes have four fifths of the training classes, tests as many classes
    as validation and test both have; queries are what the smallest class has left.

    Args:
      most: upper bounds, such as those of config.py.
      train: number of different texts of each training class.
      held_out: numbers of different texts of each class, of `valid` and of `test`.

    Raises:
      ValueError: if a class has too few texts for five support texts and a query.

    Examples:
      >>> most = config_lib.EpisodeConfig(
      ...     way=5, queries=5, train_way=40, train_queries=2
      ... )
      >>> fitted = episode_sizes(most, [30] * 18, {"valid": [30] * 18, "test": [8] * 4})
      >>> fitted.train_way, fitted.way, fitted.queries
      (14, 4, 3)
    """
    for split, counts in held_out.items():
        if min(counts) <= MOST_SHOTS:
            raise ValueError(
                f"a {split} class has {min(counts)} different texts, and a test takes"
                f" {MOST_SHOTS} support texts and a query; leave such classes out of"
                " the split file."
            )
    bounds = most.training()
    queries = min(min(counts) for counts in held_out.values()) - MOST_SHOTS
    return dataclasses.replace(
        most,
        way=min(_largest(most.way), *map(len, held_out.values())),
        queries=min(_largest(most.queries), queries),
        train_way=min(_largest(bounds.way), max(2, round(SHARE * len(train)))),
        train_queries=max(
            1, min(_largest(bounds.queries), min(train) - _largest(bounds.shot))
        ),
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
      labelled: config to meta-train on labelled classes.
      num_clusters: number of clusters of the other classes' texts.
      both: config to meta-train on labelled classes and these clusters.
    """

    labelled: config_lib.Config
    num_clusters: int
    both: config_lib.Config


def fit(config: config_lib.Config) -> Recipe:
    """Returns the recipe for the data and the fold of a config.

    Raises:
      ValueError: if the data cannot be read, or a class has too few texts.
    """
    splits = _splits(config)
    train = _counts(splits.train)
    held_out = {"valid": _counts(splits.valid), "test": _counts(splits.test)}
    texts = [*splits.train.texts, *splits.valid.texts, *splits.test.texts]
    encoded = workflows.load_model(config.model).tokenizer(texts, verbose=False)
    length = max_length([*map(len, encoded["input_ids"])])
    source = dataclasses.replace(config.data, max_length=length)
    labelled = dataclasses.replace(
        config,
        data=source,
        episodes=episode_sizes(config.episodes, train, held_out),
    )
    others = len(texts) - len(splits.train) + splits.num_unused
    number = num_clusters(train, others)
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
    return Recipe(labelled, number, both)


def _splits(config: config_lib.Config) -> data.Splits:
    assert config.data.split_file is not None  # config.py sets one.
    examples = data.read(config.data.path)
    return data.split_by_file(examples, config.data.split_file, config.data.fold)


def _counts(examples: data.Examples) -> list[int]:
    """Counts different texts of each class."""
    texts = collections.defaultdict(set)
    for text, labels in zip(examples.texts, examples.labels, strict=True):
        for label in labels:
            texts[label].add(text)
    return [*map(len, texts.values())]


def _largest(size: config_lib.Count) -> int:
    return size if isinstance(size, int) else size[1]
