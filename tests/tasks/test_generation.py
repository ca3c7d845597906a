"""Tests for generative task types."""

import numpy as np
import pytest

from metaflax import metrics, tasks

TYPES = {
    name: getattr(tasks, name)
    for name in ("translation", "summarization", "dialogue", "language_modelling")
}
LIKELIHOOD = ("log_likelihood", "perplexity")


def fields(**row):
    return tasks.Fields(row, "a.jsonl:1")


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("translation", ("chrf", "bleu")),
        ("summarization", ("rouge1", "rouge2", "rougeL")),
        ("dialogue", ("bleu", "distinct1", "distinct2", "recall@1", "recall@2")),
        ("language_modelling", ()),
    ],
)
def test_generated_texts_are_scored_after_their_likelihood(name, scores):
    task = TYPES[name]()
    assert task.scores == (*LIKELIHOOD, *scores)
    generated, references = (
        ["the cat sat there on a mat"],
        ["a cat sat there on the mat"],
    )
    found = task.texts.score(generated, references)
    assert set(found) == set(task.texts.generation_scores)
    if "bleu" in scores:
        assert found["bleu"] == metrics.bleu(generated, references)


def test_perplexity_is_that_of_the_tokens_asked_for():
    task = tasks.translation(label_smoothing=0.5)
    logits = np.log([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]]])
    outputs, targets, weights = logits, np.array([[0, 2, -1]]), np.ones(1)
    found = {n: float(fn(outputs, targets, weights)) for n, fn in task.metrics.items()}
    assert found["perplexity"] == pytest.approx(8**0.5, rel=1e-5)
    assert found["log_likelihood"] == pytest.approx(-np.log(8) / 2, rel=1e-5)


@pytest.mark.parametrize("name", TYPES)
def test_an_unusable_smoothing_is_refused(name):
    with pytest.raises(ValueError, match="label_smoothing is in"):
        TYPES[name](label_smoothing=-0.1)


@pytest.mark.parametrize("name", TYPES)
def test_a_row_is_read_back_as_it_was(name):
    task, row = TYPES[name](), {"text": "a text", "target": "to say"}
    if name == "dialogue":
        row["text"] = ["one", "two"]
    text, gold_label = task.form.read(fields(**row)), task.gold_label(fields(**row))
    again = fields(**task.form.row(text), **task.texts.rows(gold_label.target))
    assert (task.form.read(again), task.gold_label(again)) == (text, gold_label)


def test_a_single_turn_is_a_dialogue():
    assert tasks.dialogue().form.read(fields(text="Hi.")) == ("Hi.",)


@pytest.mark.parametrize(
    ("held", "message"), [([], "is an empty list"), (["a", ""], "is an empty text"),
                       ([1], "holds 1 where a text"), (None, "holds None")]
)  # fmt: skip
def test_a_dialogue_without_turns_is_refused(held, message):
    with pytest.raises(ValueError, match=message):
        tasks.dialogue().form.read(fields(text=held))


def test_a_text_without_target_is_refused():
    with pytest.raises(ValueError, match="no column 'target'"):
        tasks.summarization().gold_label(fields(text="a"))
