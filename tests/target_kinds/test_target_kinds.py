"""Tests for target kinds: arrays, reports, and requirements of custom kinds."""

import numpy as np
import pytest

from metaflax import config, data, target_kinds, tasks
from metaflax.target_kinds._base import EvaluatedQueries

KINDS = target_kinds.TARGET_KINDS


def episode(classes, query_targets):
    """An episode whose queries are the first examples."""
    none = np.zeros(0, np.int32)
    rows = np.arange(len(query_targets), dtype=np.int32)
    return data.Episode(classes, None, none, none, rows, np.array(query_targets))


def evaluated(episodes, logits, others=()):
    """Queries of a data set with the classes a, b and c."""
    labels = tuple((name,) for name in "abc")
    examples = data.Examples("letters", ("1", "2", "3"), labels)
    return EvaluatedQueries(examples, episodes, np.array(logits), others)


def test_every_task_type_has_a_kind_that_samples():
    for make in (tasks.classification, tasks.regression, tasks.question_answering):
        assert target_kinds.of(make()) is KINDS[make().kind]
    with pytest.raises(ValueError, match="unknown target kind 'sorcery'; known: cl"):
        target_kinds.of(tasks.classification()._replace(kind="sorcery"))


def test_predictions_are_named_by_the_classes_that_an_episode_drew():
    # The last query is padding; class 1 of the episode is "a".
    logits = [[[0.0, 1.0], [2.0, 1.0], [9.0, 9.0]]]
    queries = evaluated([episode((2, 0), [1, 1])], logits)
    [predictions] = queries.class_predictions()
    assert predictions.true == ["a", "a"]
    assert predictions.predicted == ["a", "c"]
    assert predictions.drawn == ["c", "a"]
    report = KINDS["classes"].report(queries)
    assert report["a"]["recall"] == 0.5
    assert report["accuracy"] == 0.5


def test_queries_of_none_of_the_classes_are_the_last_logit():
    # Room for two classes, one drawn, then none of the above.
    logits = [[[0.0, 5.0, 1.0], [0.0, -1.0, 3.0]]]
    queries = evaluated([episode((1,), [-1, -1])], logits, others=("none",))
    [predictions] = queries.class_predictions()
    assert predictions.true == ["none", "none"]
    assert predictions.predicted == ["", "none"]


def test_only_drawn_labels_count_in_the_report_of_labels():
    targets = np.array([[1, 0], [1, 1]], np.float32)
    queries = evaluated([episode((0, 2), targets)], [[[1.0, 1.0], [-1.0, 1.0]]])
    report = KINDS["labels"].report(queries)
    assert (report["a"]["precision"], report["a"]["recall"]) == (1.0, 0.5)
    assert (report["c"]["precision"], report["c"]["recall"]) == (0.5, 1.0)
    assert report["b"]["support"] == 0


def test_numbers_are_reported_without_padding():
    queries = evaluated([episode((), [1.0, 3.0])], [[2.0, 4.0, 100.0]])
    report = KINDS["numbers"].report(queries)
    assert report["all"] == {"pearson": 1.0, "spearman": 1.0, "mse": 1.0, "support": 2}


def test_targets_of_a_support_set_are_arrays():
    examples = data.Examples("x", ("1", "2"), (("b",), ("a",)))
    np.testing.assert_array_equal(
        KINDS["classes"].to_arrays(examples, ["a", "b"], 4), [1, 0]
    )
    several = data.Examples("x", ("1", "2"), (("b", "a"), ("a",)))
    np.testing.assert_array_equal(
        KINDS["labels"].to_arrays(several, ["a", "b"], 3), [[1, 1, 0], [1, 0, 0]]
    )
    with pytest.raises(ValueError, match="several labels.*give one label per text"):
        KINDS["classes"].to_arrays(several, ["a", "b"], 2)


@pytest.mark.parametrize(
    ("kind", "counts", "adapted"),
    [
        ("classes", "3-way 2-shot", "7 classes"),
        ("numbers", "2 support texts", "numbers"),
        ("spans", "2 support questions", "questions"),
    ],
)
def test_sizes_are_described_in_the_words_of_the_kind(kind, counts, adapted):
    sizes = config.EpisodeConfig(way=3, shot=2)
    assert KINDS[kind].describe_counts(sizes) == counts
    assert KINDS[kind].describe_adapted(7) == adapted


def test_a_kind_of_whole_texts_that_lacks_a_part_is_refused():
    kind = target_kinds.TargetKind("mine", sampler=KINDS["classes"].sampler)
    task = tasks.classification()._replace(kind="mine", target_kind=kind)
    with pytest.raises(ValueError, match="'mine' of whole texts has no to_arrays and"):
        target_kinds.of(task)
