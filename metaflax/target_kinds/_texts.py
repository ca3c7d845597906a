"""Targets that are texts to generate."""

from metaflax.data.samplers._generation import GenerationSampler
from metaflax.target_kinds._base import TargetKind

TEXTS = TargetKind(
    name="texts",
    sampler=lambda examples, counts: GenerationSampler(
        examples, counts.shot, counts.queries
    ),
    noun="texts",
    support_noun="texts",
    heads={"linear": "identity"},
    closed_form=False,
)
