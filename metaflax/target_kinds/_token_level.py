"""Targets of tokens: tags of entities, and answer spans."""

from metaflax import data
from metaflax.target_kinds._base import TargetKind

TAGS = TargetKind(
    name="tags",
    sampler=lambda examples, counts: data.EntitySampler(
        examples, counts.way, counts.shot, counts.queries, counts.none_rate
    ),
)

SPANS = TargetKind(
    name="spans",
    sampler=lambda examples, counts: data.QuestionSampler(
        examples, counts.shot, counts.queries
    ),
    noun="questions",
    support_noun="questions",
    heads={"linear": "span"},
)
