"""Tests for regression on texts and pairs."""

import numpy as np
import pytest

from metaflax import data, heads, tasks
from metaflax.tasks._pairs import Pair
from metaflax.tasks._regression import TEXT_OR_PAIR
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")
TASK = tasks.regression()


def fields(**values):
    return tasks.Fields(values, "s.jsonl:2", {"label": "score"})


def test_a_row_has_a_number_and_one_text_or_two():
    one, two = fields(text="a", score=2), fields(text="a", text_pair="b", score="0.5")
    assert TASK.form.read(one) == "a"
    assert TASK.form.read(two) == Pair("a", "b")
    assert [TASK.gold_label(row).target for row in (one, two)] == [2.0, 0.5]
    assert TASK.gold_label(one).labels == ()


def test_texts_and_pairs_are_tokenized_side_by_side():
    mixed = ["a b", Pair("c", "d"), "e"]
    tokens = data.tokenize(TOKENIZER, mixed, max_length=8, form=TEXT_OR_PAIR)
    assert [words.as_text(TOKENIZER, row) for row in tokens] == [
        "[CLS] a b [SEP]",
        "[CLS] c [SEP] d [SEP]",
        "[CLS] e [SEP]",
    ]
    assert tokens.types.tolist() == [0] * 4 + [0, 0, 0, 1, 1] + [0] * 3


@pytest.mark.parametrize("text", ["a", Pair("a", "b")])
def test_a_text_is_written_as_it_was_read(text):
    row = TEXT_OR_PAIR.row(text)
    assert TEXT_OR_PAIR.read(tasks.Fields(row, "")) == text


def test_an_answer_is_the_number_under_the_name_of_its_column():
    answers = TASK.decode(TASK.outputs(np.array([[1.25], [3.0]])), ["score"])
    assert answers == [{"score": 1.25}, {"score": 3.0}]


def test_heads_of_classes_are_refused():
    TASK.check_head("ridge_regression", heads.ridge_regression())
    with pytest.raises(ValueError, match="'prototypes' serves.*'numbers'"):
        TASK.check_head("prototypes", heads.prototypes(2))


def test_the_first_metric_selects_and_the_loss_is_among_them():
    assert list(TASK.metrics) == ["pearson", "spearman", "mse"]
    outputs, targets, ones = np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.ones(2)
    assert float(TASK.metrics["mse"](outputs, targets, ones)) == pytest.approx(2.5)
