"""Adapt to each episode's support set, then score and generate what is asked."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from metaflax import base, tree


def generating_scorer(
    algorithm: base.MetaAlgorithm,
    loss_fn: base.LossFn,
    metrics: Mapping[str, Callable[..., jax.Array]],
    generate: Callable[[Any, Any], Any] | None = None,
):
    """A jitted function that adapts a language model to tasks and asks it for texts.

    One task follows the other: each has its own weights, and stops when its texts end.

    Args:
      algorithm: what adapts, on `{"encoder": language model, "head": {}}`.
      loss_fn: `loss_fn(logits, targets, weights)`.
      metrics: the same form, by name.
      generate: `generated = generate(params, prompts)`, of the language model; None to
        score the true texts alone.

    Returns:
      `{name: [T]}, generated [T, Q, ...] = score(params, tasks, prompts)`; None of the
      latter where nothing is generated. Deterministic.
    """
    named = {"loss": loss_fn, **metrics}

    def one(params, task, prompts):
        adapted, _ = algorithm.adapt(params, task.support, None)
        outputs = algorithm.predict(params, adapted, task.query.inputs, None)
        scores = {
            name: fn(outputs, task.query.targets, task.query.weights)
            for name, fn in named.items()
        }
        if generate is None:
            return scores, None
        own = tree.merge(adapted["encoder"], params["encoder"])
        return scores, generate(own, prompts)

    def score(params, tasks, prompts):
        return jax.lax.map(lambda asked: one(params, *asked), (tasks, prompts))

    return jax.jit(score)
