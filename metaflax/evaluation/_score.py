"""Scorer of episodes: adaptation to support sets, scores of queries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base
from metaflax.base._units import concatenate
from metaflax.evaluation._stages import over_tasks


class Scores(NamedTuple):
    """Scores of a list of E episodes.

    Attributes:
      metrics: `[E]` by name, `loss` among them.
      logits: `[E, Q, N]`, padding included, or the outputs of a model without
        logits; None if they were decoded to `answers`.
      answers: decoded predictions of the queries of each episode; None if `logits`
        hold the predictions.

    Examples:
      >>> import numpy as np
      >>> from metaflax import evaluation
      >>> accuracy, logits = np.array([0.5, 0.7]), np.zeros((2, 4, 5))
      >>> scores = evaluation.Scores({"accuracy": accuracy}, logits)
      >>> print(f"{evaluation.mean_interval(scores.metrics['accuracy']).mean:.2f}")
      0.60
    """

    metrics: dict[str, np.ndarray]
    logits: Any
    answers: Sequence[Sequence[Mapping[str, Any]]] | None = None


def scorer(
    algorithm: base.MetaAlgorithm,
    loss_fn: base.LossFn,
    metrics: Mapping[str, Callable[..., jax.Array]],
    *,
    task_loop: str = "auto",
    transductive: bool = False,
):
    """Builds a jitted function that adapts to tasks and scores their queries.

    Args:
      algorithm: algorithm that adapts and predicts.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      metrics: functions of the same form, by name.
      task_loop: `scan` or `vmap`; `auto` is `scan` on CPU.
      transductive: whether an algorithm whose head `takes_unlabelled` also adapts to
        the queries, without their labels.

    Returns:
      `{name: [T]}, logits [T, Q, N] = score(params, tasks)`, a deterministic function.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> import metaflax
      >>> from metaflax import evaluation, heads, losses, metrics
      >>> algorithm = metaflax.frozen(
      ...     lambda w, x, key: w * x,
      ...     losses.softmax_cross_entropy,
      ...     lambda key: jnp.ones(()),
      ...     head=heads.prototypes(2),
      ... )
      >>> score = evaluation.scorer(
      ...     algorithm, losses.softmax_cross_entropy, {"accuracy": metrics.accuracy}
      ... )
      >>> x = jnp.array([[[0.0], [1.0]]])  # One task of two texts with a feature.
      >>> support = metaflax.Batch(x, jnp.array([[0, 1]]), jnp.ones((1, 2)))
      >>> query = support._replace(targets=jnp.array([[0, 0]]))
      >>> params = algorithm.init(jax.random.key(0))
      >>> scores, logits = score(params, metaflax.Task(support, query))
      >>> print(scores["accuracy"], logits.shape)
      [0.5] (1, 2, 2)
    """
    named = {"loss": loss_fn, **metrics}

    def one(params, task):
        support = _with_queries(*task) if transductive else task.support
        adapted, _ = algorithm.adapt(params, support, None)
        outputs = algorithm.predict(params, adapted, task.query.inputs, None)
        scores = {
            name: fn(outputs, task.query.targets, task.query.weights)
            for name, fn in named.items()
        }
        return scores, getattr(outputs, "logits", outputs)

    def score(params, tasks):
        return over_tasks(lambda task: one(params, task), tasks, task_loop)

    return jax.jit(score)


def _with_queries(support: base.Batch, query: base.Batch) -> base.Batch:
    """Adds the queries to a support set as unlabelled examples."""
    return base.Batch(
        concatenate(support.inputs, query.inputs),
        jnp.concatenate([support.targets, jnp.full_like(query.targets, -1)]),
        jnp.concatenate([support.weights, query.weights]),
    )


def evaluate(score, params: Any, batches: Iterable[base.Task]) -> Scores:
    """Scores every episode of `batches` in order.

    Args:
      score: function returned by `scorer`.
      params: meta-parameters.
      batches: stacked tasks, leaves `[T, S, ...]` and `[T, Q, ...]`, the same Q
        and N throughout.

    Returns:
      `Scores` over all episodes.

    Raises:
      ValueError: if there is no batch.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import evaluation
      >>> def score(params, targets):
      ...     return {"accuracy": (targets == params).mean(axis=1)}, targets[..., None]
      >>> batches = [jnp.array([[1, 1], [1, 2]]), jnp.array([[2, 2]])]
      >>> scores = evaluation.evaluate(score, 1, batches)
      >>> print(scores.metrics["accuracy"], scores.logits.shape)
      [1.  0.5 0. ] (3, 2, 1)
    """
    # Results stay on the device until all are dispatched, so that it never waits.
    parts = [score(params, tasks) for tasks in batches]
    if not parts:
        raise ValueError("there is no episode to evaluate on.")
    metrics, logits = jax.tree.map(
        lambda *xs: np.concatenate([np.asarray(x) for x in xs]), *parts
    )
    return Scores(metrics, logits)
