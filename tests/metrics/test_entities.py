"""Tests for the scores of entities: parity with seqeval on random sentences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import metrics as seqeval
from seqeval.scheme import IOB2

from metaflax import metrics, tasks
from metaflax.metrics._entities import (
    EntityCounts,
    entity_counts,
    entity_counts_by_type,
)
from metaflax.tasks._entity_spans import Entity, entities_of_tags

TYPES = ("art", "city", "river")
NAMES = (*tasks.BIO.tags(TYPES), "O")
E = Entity


def random_tags(rng, num_words):
    """Valid BIO tags, drawn word by word."""
    start, allowed = tasks.BIO.transitions(len(TYPES))
    odds, classes = rng.dirichlet(np.ones(len(NAMES))), []
    for _ in range(num_words):
        now = odds * (allowed[classes[-1]] if classes else start)
        classes.append(rng.choice(len(NAMES), p=now / now.sum()))
    return [NAMES[c] for c in classes]


def altered(rng, tags):
    """Random changes to some tags of the same words."""
    return tags if rng.uniform() < 0.4 else random_tags(rng, len(tags))


def entities(tags):
    words = [(3 * n, 3 * n + 2) for n in range(len(tags))]
    return entities_of_tags(tags, words)


def documents(seed, num):
    """Lists of 0 to 5 sentences, predicted and true, some without entities."""
    rng = np.random.default_rng(seed)
    for _ in range(num):
        lengths = rng.integers(0, 9, rng.integers(1, 6))
        true = [
            random_tags(rng, n) if rng.uniform() < 0.8 else ["O"] * n for n in lengths
        ]
        yield [altered(rng, tags) for tags in true], true


def test_scores_are_those_of_seqeval():
    for said, true in documents(0, 1500):
        found = metrics.entity_scores([*map(entities, said)], [*map(entities, true)])
        for name, score in (
            ("f1", seqeval.f1_score),
            ("precision", seqeval.precision_score),
            ("recall", seqeval.recall_score),
        ):
            expected = score(true, said, mode="strict", scheme=IOB2, zero_division=0)
            assert found[name] == pytest.approx(expected, abs=1e-12)


def test_scores_by_type_are_those_of_seqeval():
    for said, true in documents(1, 300):
        if not any(map(entities, (*said, *true))):
            continue  # An average of nothing, which seqeval warns of.
        report = seqeval.classification_report(
            true, said, output_dict=True, zero_division=0
        )
        found = entity_counts_by_type([*map(entities, said)], [*map(entities, true)])
        assert list(found) == [name for name in report if name in TYPES]
        for name, counts in found.items():
            scores = counts.scores()
            assert scores["f1"] == pytest.approx(report[name]["f1-score"])
            assert scores["precision"] == pytest.approx(report[name]["precision"])
            assert scores["recall"] == pytest.approx(report[name]["recall"])
            assert counts.true == report[name]["support"]


SENTENCES = st.lists(
    st.lists(st.builds(E, st.integers(0, 2), st.integers(3, 4), st.sampled_from("ab"))),
    min_size=3,
    max_size=3,
)


@given(SENTENCES, SENTENCES)
@settings(max_examples=200, deadline=None)
def test_counts_of_sentences_and_of_types_add_up(said, true):
    whole = entity_counts(said, true)
    parts = [entity_counts([a], [b]) for a, b in zip(said, true, strict=True)]
    by_type = entity_counts_by_type(said, true)
    nothing = EntityCounts(0, 0, 0)
    assert sum(parts, nothing) == sum(by_type.values(), nothing) == whole
    assert whole.right <= min(whole.predicted, whole.true)


@pytest.mark.parametrize(
    ("said", "right"),
    [(E(3, 8, "x"), 1), (E(3, 7, "x"), 0), (E(2, 8, "x"), 0), (E(3, 8, "y"), 0)],
)
def test_start_end_and_type_must_be_right(said, right):
    found = entity_counts([[said]], [[E(3, 8, "x")]])
    assert found == EntityCounts(1, 1, right)


def test_an_entity_of_another_sentence_is_not_right():
    assert entity_counts([[E(0, 1, "x")], []], [[], [E(0, 1, "x")]]).right == 0


def test_where_nothing_is_said_or_there_is_nothing_scores_are_zero():
    zero = {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    assert metrics.entity_scores([[]], [[]]) == zero
    assert metrics.entity_scores([[E(0, 1, "x")]], [[]]) == zero
    assert metrics.entity_scores([], []) == zero
    assert entity_counts_by_type([()], [()]) == {}


def test_another_number_of_sentences_is_refused():
    with pytest.raises(ValueError, match="predicted for 1 sentences, and there are 2"):
        metrics.entity_scores([()], [(), ()])
