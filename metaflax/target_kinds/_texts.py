"""Targets that are texts to generate."""

from metaflax import data
from metaflax.target_kinds._base import TargetKind

TEXTS = TargetKind(
    name="texts",
    sampler=lambda examples, counts: data.GenerationSampler(
        examples, counts.shot, counts.queries
    ),
    noun="texts",
    support_noun="texts",
    heads={"linear": "identity"},
)
