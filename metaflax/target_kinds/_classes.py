"""Targets that are classes of texts: one each, or any number of labels."""

from typing import Any

import jax
import numpy as np

from metaflax import data
from metaflax.data.samplers._multilabel import MultiLabelSampler
from metaflax.data.samplers._none_of_the_above import WithNone
from metaflax.evaluation._report import classification_report, label_report
from metaflax.target_kinds._base import EpisodeCounts, EvaluatedQueries, TargetKind


def _class_sampler(examples: data.Examples, counts: EpisodeCounts) -> data.Sampler:
    sampler = data.EpisodeSampler(examples, counts.way, counts.shot, counts.queries)
    return WithNone(sampler, counts.none_rate) if counts.none_rate else sampler


def _class_numbers(
    examples: data.Examples, names: list[str], num_classes: int
) -> np.ndarray:
    """Class numbers `[U]`."""
    del num_classes  # Only rows of labels are padded to it.
    if examples.is_multi_label:
        raise ValueError(
            f"{examples.name}: some texts have several labels, and this model predicts"
            " one; give one label per text."
        )
    return np.array([names.index(labels[0]) for labels in examples.labels], np.int32)


def _class_report(evaluated: EvaluatedQueries) -> dict[str, Any]:
    predictions = evaluated.class_predictions()
    return classification_report(
        [name for episode in predictions for name in episode.true],
        [name for episode in predictions for name in episode.predicted],
    )


def _label_rows(
    examples: data.Examples, names: list[str], num_classes: int
) -> np.ndarray:
    """Rows of 0 and 1, `[U, N]`."""
    targets = np.zeros((len(examples), num_classes), np.float32)
    for row, labels in zip(targets, examples.labels, strict=True):
        row[[names.index(name) for name in labels]] = 1
    return targets


def _label_report(evaluated: EvaluatedQueries) -> dict[str, Any]:
    """Each drawn label of each query counts once; labels not drawn do not count."""
    names = evaluated.examples.label_names
    true, predicted = [], []
    for episode, (logits, targets) in zip(
        evaluated.episodes, evaluated.by_episode(), strict=True
    ):
        classes = list(episode.classes)
        rows = np.zeros((2, len(targets), len(names)), np.int8)
        rows[0][:, classes] = targets
        rows[1][:, classes] = logits[:, : len(classes)] > 0
        true.append(rows[0])
        predicted.append(rows[1])
    return label_report(names, np.concatenate(true), np.concatenate(predicted))


CLASSES = TargetKind(
    name="classes",
    sampler=_class_sampler,
    to_arrays=_class_numbers,
    report=_class_report,
    probabilities=jax.nn.softmax,
    has_classes=True,
    single_label=True,
)

LABELS = TargetKind(
    name="labels",
    sampler=lambda examples, counts: MultiLabelSampler(
        examples, counts.way, counts.shot, counts.queries
    ),
    to_arrays=_label_rows,
    report=_label_report,
    problem_type="multi_label_classification",
    heads={"prototypes": "label_prototypes"},
    probabilities=jax.nn.sigmoid,
    has_classes=True,
)
