"""Targets that are numbers."""

from typing import Any

import numpy as np

from metaflax.data.samplers._numbers import NumberSampler
from metaflax.evaluation._report import number_report
from metaflax.target_kinds._base import EvaluatedQueries, TargetKind


def _number_report(evaluated: EvaluatedQueries) -> dict[str, Any]:
    domains = evaluated.examples.domain_names or ("all",)
    by_episode = evaluated.by_episode()
    groups = [
        domains[episode.domain or 0]
        for episode in evaluated.episodes
        for _ in range(len(episode.query))
    ]
    return number_report(
        groups,
        np.concatenate([targets for _, targets in by_episode]),
        np.concatenate([outputs for outputs, _ in by_episode]),
    )


NUMBERS = TargetKind(
    name="numbers",
    sampler=lambda examples, counts: NumberSampler(
        examples, counts.shot, counts.queries
    ),
    to_arrays=lambda examples, names, num_classes: np.array(
        examples.targets, np.float32
    ),
    report=_number_report,
    problem_type="regression",
    noun="numbers",
    support_noun="texts",
    heads={
        "linear": "linear_regression",
        "ridge": "ridge_regression",
        # Numbers have no class means; the other closed-form head takes their place.
        "prototypes": "ridge_regression",
    },
    probabilities=lambda logits: logits,
)
