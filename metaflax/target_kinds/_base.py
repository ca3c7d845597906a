"""The interface of a target kind."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import jax
import numpy as np

from metaflax import base, data
from metaflax.evaluation._confusion import EpisodePredictions

Count: TypeAlias = int | tuple[int, int]
ProblemType: TypeAlias = Literal[
    "single_label_classification", "multi_label_classification", "regression"
]


class EpisodeCounts(Protocol):
    """Sizes of episodes, each a number or (least, most), as `config.EpisodeConfig`."""

    @property
    def way(self) -> Count:
        """Classes of an episode."""
        ...

    @property
    def shot(self) -> Count:
        """Support examples, per class where there are classes."""
        ...

    @property
    def queries(self) -> Count:
        """Query examples, per class where there are classes."""
        ...

    @property
    def none_rate(self) -> float:
        """Share of queries of none of an episode's classes."""
        ...


class EvaluatedQueries(NamedTuple):
    """The queries of E evaluated episodes and the logits predicted for them.

    Attributes:
      examples: the examples that the episodes are drawn from.
      episodes: the E episodes.
      logits: `[E, Q, N]`, or outputs `[E, Q]` without classes; padding included.
      others: names of classes beside those of an episode; their logits come last.
    """

    examples: data.Examples
    episodes: Sequence[data.Episode]
    logits: np.ndarray
    others: tuple[str, ...] = ()

    def by_episode(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns logits and targets of each episode's queries, without padding."""
        pairs = zip(self.episodes, self.logits, strict=True)
        return [(row[: len(e.query)], e.query_targets) for e, row in pairs]

    def class_predictions(self) -> list[EpisodePredictions]:
        """Returns the gold and the predicted class of each query, one class each."""
        predictions = []
        for episode, (logits, targets) in zip(
            self.episodes, self.by_episode(), strict=True
        ):
            drawn = [self.examples.label_names[n] for n in episode.classes]
            room = logits.shape[-1] - len(self.others)
            # In the order of the logits; target -1 is the last of the other classes.
            names = [*drawn, *[""] * (room - len(drawn)), *self.others]
            predictions.append(
                EpisodePredictions(
                    [names[i] for i in targets],
                    [names[i] for i in logits.argmax(axis=-1)],
                    [*drawn, *self.others],
                )
            )
        return predictions


def linear_logits(head: Mapping[str, base.Array], features: base.Array) -> base.Array:
    """Computes `features @ kernel + bias`, `[U, N]`, or `[U, L, N]` of tokens."""
    return features @ head["kernel"] + head["bias"].reshape(
        *[1] * (features.ndim - 1), -1
    )


class TargetKind(NamedTuple):
    """Sampling, conversion to arrays and reporting of one kind of targets.

    Attributes:
      name: matched with `Head.serves`, unless targets are of tokens.
      sampler: `sampler(examples, counts)`, a `data.Sampler` of episodes.
      to_arrays: `to_arrays(examples, names, num_classes)`, the targets of a support
        set, `[U]` or `[U, N]`; None where a task type makes codes of tokens.
      report: `report(evaluated)`, scores over all queries of all episodes by group;
        None where the task type reports decoded predictions.
      problem_type: what Hugging Face's `config.json` calls it.
      noun: what a model is adapted to; `classes` are counted.
      support_noun: what a support set consists of, as "texts"; None for N-way K-shot.
      heads: replacements of algorithms' default heads, by name.
      probabilities: maps logits `[N]` to what an explanation attributes; None where
        nothing is explained.
      linear: `logits = linear(head, features)`, what a linear head of such targets
        computes, from its `kernel` and `bias`.
      has_classes: whether names of classes are drawn, as for text classification.
      single_label: whether each unit has one class, so that accuracy, calibration and
        confusion are defined.
      closed_form: whether heads are fitted to fixed features of such targets; else a
        task is learned by inner steps alone.

    Examples:
      >>> from metaflax import config, target_kinds
      >>> counts = config.EpisodeConfig(way=5, shot=1)
      >>> target_kinds.TARGET_KINDS["classes"].describe_counts(counts)
      '5-way 1-shot'
      >>> target_kinds.TARGET_KINDS["numbers"].describe_counts(counts)
      '1 support texts'
    """

    name: str
    sampler: Callable[[data.Examples, EpisodeCounts], data.Sampler]
    to_arrays: Callable[[data.Examples, list[str], int], np.ndarray] | None = None
    report: Callable[[EvaluatedQueries], dict[str, Any]] | None = None
    problem_type: ProblemType = "single_label_classification"
    noun: str = "classes"
    support_noun: str | None = None
    heads: Mapping[str, str] = types.MappingProxyType({})
    probabilities: Callable[[jax.Array], jax.Array] | None = None
    linear: Callable[[Mapping[str, base.Array], base.Array], base.Array] = linear_logits
    has_classes: bool = False
    single_label: bool = False
    closed_form: bool = True

    def describe_adapted(self, num_names: int) -> str:
        """Describes what a model was adapted to, as "5 classes" or "numbers"."""
        return f"{num_names} classes" if self.noun == "classes" else self.noun

    def describe_counts(self, counts: EpisodeCounts) -> str:
        """Describes the size of an episode, as "5-way 1-shot" or "8 support texts"."""
        if self.support_noun is None:
            return f"{counts.way}-way {counts.shot}-shot"
        return f"{counts.shot} support {self.support_noun}"
