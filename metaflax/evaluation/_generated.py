"""Adapt to each episode's support set, then score and generate what is asked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from metaflax import base, losses, tree


class Asked(NamedTuple):
    """What a language model is asked in T episodes.

    Attributes:
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
      prompts: to generate from, leaves `[T, Q, ...]`; None for nothing to generate.
      candidates: C texts that may be right for each query, as a `base.Batch` of leaves
        `[T, Q, C, ...]`; None for nothing to retrieve.
    """

    tasks: base.Task
    prompts: Any = None
    candidates: base.Batch | None = None


class Said(NamedTuple):
    """What it says.

    Attributes:
      scores: of the true texts, `[T]` by name.
      generated: `[T, Q, ...]`; None where there are no prompts.
      likelihoods: the mean log-probability of each candidate's tokens, `[T, Q, C]`;
        None where there are none.
    """

    scores: dict[str, jax.Array]
    generated: Any
    likelihoods: jax.Array | None


def generating_scorer(
    algorithm: base.MetaAlgorithm,
    loss_fn: base.LossFn,
    metrics: Mapping[str, Callable[..., jax.Array]],
    generate: Callable[[Any, Any], Any],
) -> Callable[[Any, Asked], Said]:
    """A jitted function that adapts a language model to tasks and asks it for texts.

    One task follows the other: each has its own weights, and stops when its texts end.

    Args:
      algorithm: what adapts, on `{"encoder": language model, "head": {}}`.
      loss_fn: `loss_fn(logits, targets, weights)`.
      metrics: the same form, by name.
      generate: `generated = generate(params, prompts)`, of the language model.

    Returns:
      `said = score(params, asked)`. Deterministic.
    """
    named = {"loss": loss_fn, **metrics}

    def one(params: Any, asked: Asked) -> Said:
        """The same without the axis T."""
        task, prompts, candidates = asked
        adapted, _ = algorithm.adapt(params, task.support, None)

        def told(batch: base.Batch) -> Any:
            return algorithm.predict(params, adapted, batch.inputs, None)

        outputs = told(task.query)
        scores = {
            name: fn(outputs, task.query.targets, task.query.weights)
            for name, fn in named.items()
        }
        generated = likelihoods = None
        if prompts is not None:
            own = tree.merge(adapted["encoder"], params["encoder"])
            generated = generate(own, prompts)
        if candidates is not None:
            likelihoods = jax.lax.map(
                lambda batch: losses.text_likelihoods(told(batch), batch.targets),
                candidates,
            )
        return Said(scores, generated, likelihoods)

    return jax.jit(
        lambda params, asked: jax.lax.map(lambda part: one(params, part), asked)
    )
