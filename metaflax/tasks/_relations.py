"""Relation extraction: classification of pairs of entities in a text."""

import functools
from typing import Literal

import jax.numpy as jnp

from metaflax import heads, metrics
from metaflax.metrics._classification import last_precision, last_recall
from metaflax.tasks._base import TaskType
from metaflax.tasks._classification import classification
from metaflax.tasks._mentions import MENTION

NONE = "none of the above"


def relations(
    *,
    none: bool = False,
    none_logit: float = 0.0,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Classification of relations between two entities, or none of the above.

    Args:
      none: whether texts may hold none of a task's relations. The support set has no
        such text: the threshold is learned over many tasks (`heads.with_none`).
      none_logit: the initial logit of none.
      label_smoothing: as for `classification`.
      class_weights: as for `classification`.

    Returns:
      A `TaskType` whose targets are numbers of relations `[U]`, -1 for none.

    Raises:
      ValueError: as `classification`.

    Examples:
      >>> from metaflax import tasks
      >>> task = tasks.relations(none=True)
      >>> task.others, task.scores
      (('none of the above',), ('accuracy', 'none_precision', 'none_recall'))

    References:
      Baldini Soares et al., `Matching the Blanks: Distributional Similarity for
      Relation Learning <https://arxiv.org/abs/1906.03158>`_, 2019, entity markers; Gao
      et al., `FewRel 2.0 <https://arxiv.org/abs/1910.07124>`_, 2019, none of the above.
    """
    by_class = classification(
        label_smoothing=label_smoothing, class_weights=class_weights
    )
    marked = by_class._replace(
        form=MENTION, none_of_the_above=True, variants=False, on_disk=False
    )
    if not none:
        return marked
    return marked._replace(
        loss=_none_last(by_class.loss),
        metrics={
            "accuracy": _none_last(metrics.accuracy),
            "none_precision": _none_last(last_precision),
            "none_recall": _none_last(last_recall),
        },
        others=(NONE,),
        complete=functools.partial(heads.with_none, logit=none_logit),
    )


def _none_last(function):
    """Makes a loss or metric take the target -1 as the last class."""

    def of_outputs(outputs, targets, weights):
        last = outputs.logits.shape[-1] - 1
        return function(outputs, jnp.where(targets < 0, last, targets), weights)

    return of_outputs
