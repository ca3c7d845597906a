"""Tests for rows that have no label."""

import pytest

from metaflax import data


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films.jsonl"
    path.write_text(
        '{"text": "one", "label": ["a", "b"]}\n{"text": "two", "label": []}\n'
    )
    return path


def test_an_empty_list_of_labels_is_refused_with_its_line(films):
    with pytest.raises(ValueError, match="films.jsonl:2.*empty list.*drop such rows"):
        data.read(films)


def test_rows_without_a_label_are_dropped_and_counted_where_asked_for(films):
    examples = data.read(films, unlabelled="drop")
    assert (examples.texts, examples.num_unlabelled) == (("one",), 1)


def test_an_unknown_policy_is_refused(films):
    with pytest.raises(ValueError, match="'error' or 'drop'"):
        data.read(films, unlabelled="skip")
