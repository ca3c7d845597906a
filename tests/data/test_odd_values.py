"""Tests for values that other readers change, cast or reject."""

import json

import pytest

from metaflax import data, tasks
from metaflax.data.sources._input_texts import read_texts

WORDS = ("null", "NA", "None", "nan", "NaN", "true", "-", "not nurse")


def jsonl(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_stands_for_nothing_elsewhere_is_a_text_and_a_label(word, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\n{word},{word}\nnurse,nurse\n")
    examples = data.read(path)
    assert examples.texts == (word, "nurse")
    assert examples.labels == ((word,), ("nurse",))
    assert list(read_texts(path)) == [word, "nurse"]


def test_a_column_may_be_null_in_the_first_rows_and_have_any_type_later(tmp_path):
    rows = [{"text": f"t{n}", "label": "a", "note": None} for n in range(3)]
    rows += [{"text": "t3", "label": "b", "note": {"by": "x"}}]
    rows += [{"text": "t4", "label": "b", "note": 7}, {"text": "t5", "label": "b"}]
    assert data.read(jsonl(tmp_path, rows)).texts == tuple(f"t{n}" for n in range(6))


@pytest.mark.parametrize("names", [["false", "true"], ["1", "0"], ["no", "yes"]])
def test_names_of_classes_stay_what_they_are(names, tmp_path):
    datasets = pytest.importorskip("datasets")
    kinds = {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=names),
    }
    columns = {"text": ["a", "b"], "label": [0, 1]}
    table = datasets.Dataset.from_dict(columns, datasets.Features(kinds))
    table.save_to_disk(tmp_path / "saved")
    assert data.read(tmp_path / "saved").labels == tuple((name,) for name in names)
    table.to_parquet(tmp_path / "rows.parquet")
    assert data.read(tmp_path / "rows.parquet").labels[1] == (names[1],)


def test_a_class_that_is_not_known_is_no_class(tmp_path):
    """Hubs write -1 for it, which is not the last class of a list."""
    datasets = pytest.importorskip("datasets")
    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(2)}
    columns = {"text": ["a", "b"], "label": [0, -1]}
    datasets.Dataset.from_dict(columns, datasets.Features(kinds)).save_to_disk(
        tmp_path / "saved"
    )
    with pytest.raises(ValueError, match="row 2"):
        data.read(tmp_path / "saved")


def test_labels_that_are_no_numbers_are_refused_before_anything_is_trained(tmp_path):
    path = jsonl(tmp_path, [{"text": "a", "label": 1}, {"text": "b", "label": "high"}])
    with pytest.raises(ValueError, match=r"rows.jsonl:2.*'high'"):
        data.read(path, task=tasks.regression())


def test_labels_of_several_kinds_may_be_in_one_list(tmp_path):
    rows = [
        {"text": t, "label": [t, kind]} for t, kind in zip("abab", "xyyx", strict=True)
    ]
    task = tasks.multilabel_classification()
    examples = data.read(jsonl(tmp_path, rows), task=task)
    assert examples.label_names == ("a", "b", "x", "y")
    assert examples.is_multi_label
