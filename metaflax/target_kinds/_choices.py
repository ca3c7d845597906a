"""Targets that are numbers of a text's own choices."""

from typing import Any

import numpy as np

from metaflax import data
from metaflax.data.samplers._choices import ChoiceSampler
from metaflax.heads._choice import choice_outputs
from metaflax.target_kinds._base import EvaluatedQueries, TargetKind


def _choice_report(evaluated: EvaluatedQueries) -> dict[str, Any]:
    """Computes the accuracy over all queries of each domain."""
    names = evaluated.examples.domain_names or ("all",)
    right: dict[str, list[np.ndarray]] = {}
    pairs = zip(evaluated.episodes, evaluated.by_episode(), strict=True)
    for episode, (logits, gold) in pairs:
        hits = logits.argmax(axis=-1) == gold
        right.setdefault(names[episode.domain or 0], []).append(hits)
    joined = {name: np.concatenate(hits) for name, hits in sorted(right.items())}
    return {
        name: {"accuracy": float(hits.mean()), "support": len(hits)}
        for name, hits in joined.items()
    }


def _numbers(examples: data.Examples, names: list[str], num_classes: int) -> np.ndarray:
    return np.array(examples.targets, np.int32)


CHOICES = TargetKind(
    name="choices",
    sampler=lambda examples, counts: ChoiceSampler(
        examples, counts.shot, counts.queries
    ),
    to_arrays=_numbers,
    report=_choice_report,
    problem_type="regression",  # One score a sequence, as Hugging Face has it.
    noun="choices",
    support_noun="questions",
    linear=lambda head, features: choice_outputs(head, features).logits,
    heads={
        "linear": "linear_choice",
        "ridge": "ridge_choice",
        # Choices have no class means; the closed-form head takes their place.
        "prototypes": "ridge_choice",
    },
)
