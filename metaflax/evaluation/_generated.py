"""Scorer of generative models: adaptation, scores of references, generation."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from metaflax import base
from metaflax.losses._language import text_likelihoods


class GenerationBatch(NamedTuple):
    """Inputs of a generative model in T episodes.

    Attributes:
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
      prompts: prompts to generate from, leaves `[T, Q, ...]`; None to generate nothing.
      candidates: C candidate texts of each query, as a `base.Batch` of leaves
        `[T, Q, C, ...]`; None to retrieve nothing.
    """

    tasks: base.Task
    prompts: Any = None
    candidates: base.Batch | None = None


class Generation(NamedTuple):
    """Outputs of a generative model in T episodes.

    Attributes:
      scores: scores of the references, `[T]` by name.
      generated: generated tokens, `[T, Q, ...]`; None without prompts.
      likelihoods: the mean log-probability of each candidate's tokens, `[T, Q, C]`;
        None without candidates.
    """

    scores: dict[str, jax.Array]
    generated: Any
    likelihoods: jax.Array | None


def generating_scorer(
    algorithm: base.MetaAlgorithm,
    loss_fn: base.LossFn,
    metrics: Mapping[str, Callable[..., jax.Array]],
    generate: Callable[[Any, Any, Any], Any],
) -> Callable[[Any, GenerationBatch], Generation]:
    """Builds a jitted function that adapts a generative model, scores and generates.

    Tasks run one after another, since each has its own weights and stops when its texts
    end.

    Args:
      algorithm: algorithm on parameters `{"encoder": language model, "head": {}}`.
      loss_fn: `loss_fn(logits, targets, weights)`.
      metrics: functions of the same form, by name.
      generate: `generated = generate(params, adapted, prompts)`.

    Returns:
      `generation = score(params, batch)`, a deterministic function.
    """
    named = {"loss": loss_fn, **metrics}

    def one(params: Any, batch: GenerationBatch) -> Generation:
        """Scores one task, without the axis T."""
        task, prompts, candidates = batch
        adapted, _ = algorithm.adapt(params, task.support, None)

        def predicted(batch: base.Batch) -> Any:
            return algorithm.predict(params, adapted, batch.inputs, None)

        outputs = predicted(task.query)
        scores = {
            name: fn(outputs, task.query.targets, task.query.weights)
            for name, fn in named.items()
        }
        generated = likelihoods = None
        if prompts is not None:
            generated = generate(params, adapted, prompts)
        if candidates is not None:
            likelihoods = jax.lax.map(
                lambda batch: text_likelihoods(predicted(batch), batch.targets),
                candidates,
            )
        return Generation(scores, generated, likelihoods)

    return jax.jit(
        lambda params, batch: jax.lax.map(lambda part: one(params, part), batch)
    )
