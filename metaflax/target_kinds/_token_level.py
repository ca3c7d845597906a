"""Targets of tokens: tags of entities, and answer spans."""

from metaflax import data
from metaflax.data.samplers._entities import EntitySampler
from metaflax.target_kinds._base import TargetKind

TAGS = TargetKind(
    name="tags",
    sampler=lambda examples, counts: EntitySampler(
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
    closed_form=False,
)
