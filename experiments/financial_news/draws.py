"""Support sets of a data set, with queries in the data set's shares of labels."""

import numpy as np

from metaflax import data


def support_draws(
    examples: data.Examples, shot: int, num_draws: int, num_queries: int, seed: int = 0
) -> data.FixedEpisodes:
    """Samples support sets of `shot` sentences per label, and queries for each.

    Args:
      examples: with one label each, and no text twice.
      shot: number of support sentences per label.
      num_draws: number of support sets.
      num_queries: number of queries of each, sampled from the other sentences; all of
        these if there are fewer.
      seed: seed for sampling.

    Returns:
      An episode per support set, with all labels.

    Raises:
      ValueError: if a label has no more than `shot` sentences.
    """
    names = examples.label_names
    targets = np.array([names.index(label) for [label] in examples.labels], np.int32)
    for number, count in enumerate(np.bincount(targets)):
        if count <= shot:
            raise ValueError(
                f"{examples.name}: {names[number]!r} has {count} sentences, and a draw"
                f" takes {shot} and leaves one; lower the shots."
            )
    return data.FixedEpisodes(
        examples,
        tuple(
            _draw(targets, shot, num_queries, np.random.default_rng((seed, shot, draw)))
            for draw in range(num_draws)
        ),
    )


def _draw(
    targets: np.ndarray, shot: int, num_queries: int, rng: np.random.Generator
) -> data.Episode:
    order = rng.permutation(len(targets)).astype(np.int32)
    classes = np.unique(targets)
    support = np.concatenate([order[targets[order] == c][:shot] for c in classes])
    # A new order: in the old one the first of a rare label are all in the support set.
    left = np.setdiff1d(order, support)
    query = rng.permutation(left)[:num_queries].astype(np.int32)
    return data.Episode(
        classes=tuple(classes.tolist()),
        domain=None,
        support=support,
        support_targets=targets[support],
        query=query,
        query_targets=targets[query],
    )
