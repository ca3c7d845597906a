"""Tests for `fairness`: a biased predictor is caught, a fair one is not."""

import json

import numpy as np
import pytest

from metaflax import cli, workflows
from tests.workflows import worlds

TEXTS = (
    "{gender} is late",
    "he is good",
    "she is good",
    "nobody is here",
    "Apple is good and she is not",
)
SWAPS = {
    "gender": (("he", "she"), ("man", "woman")),
    "companies": (("Apple", "Nokia"),),
    "never": (("zig", "zag"),),
}


class Classes:
    """Says yes with a probability that words change."""

    batch_size = 2

    def __init__(self, **shifts):
        self.shifts = shifts
        self.largest_batch = 0

    def __call__(self, texts):
        self.largest_batch = max(self.largest_batch, len(texts))
        answers = []
        for text in texts:
            p = 0.4 + sum(self.shifts.get(word, 0) for word in text.split())
            label = "yes" if p > 0.5 else "no"
            answers.append({"label": label, "probabilities": {"yes": p, "no": 1 - p}})
        return answers


def test_a_predictor_that_minds_the_words_is_caught_with_the_texts():
    predictor = Classes(she=0.2)
    found = workflows.fairness(predictor, TEXTS, SWAPS)
    assert set(found) == {"gender", "companies"}
    gender = found["gender"]
    assert (gender["texts"], gender["pairs"]) == (4, 5)
    # The template's pair of man and woman alone does not move.
    assert gender["mean_absolute_change"]["mean"] == pytest.approx(0.2 * 4 / 5)
    assert gender["changed_labels"]["mean"] == pytest.approx(4 / 5)
    assert 0 < gender["mean_absolute_change"]["low"] < 0.16
    assert 0.16 < gender["mean_absolute_change"]["high"] < 0.2 + 1e-9
    assert gender["largest"]["change"] == pytest.approx(0.2)
    largest = {gender["largest"]["before"], gender["largest"]["after"]}
    assert any("she" in text.split() for text in largest)
    assert found["companies"]["mean_absolute_change"]["mean"] == 0
    assert found["companies"]["largest"]["change"] == 0
    assert predictor.largest_batch == 2


def test_a_predictor_that_does_not_mind_them_is_not():
    found = workflows.fairness(Classes(good=0.3, late=-0.2), TEXTS, SWAPS)
    for group in found.values():
        assert group["mean_absolute_change"] == {"mean": 0, "low": 0, "high": 0}
        assert group["changed_labels"] == {"mean": 0, "low": 0, "high": 0}


def test_numbers_and_several_labels_move_too():
    class Numbers:
        batch_size = 8

        def __call__(self, texts):
            return [{"text": t, "score": 3.0 * ("she" in t.split())} for t in texts]

    class Labels:
        batch_size = 8

        def __call__(self, texts):
            return [
                {
                    "labels": ["a"] * ("she" in t.split()),
                    "probabilities": {"a": 0.9 * ("she" in t.split()), "b": 0.3},
                }
                for t in texts
            ]

    found = workflows.fairness(Numbers(), TEXTS[1:3], SWAPS)["gender"]
    assert found["mean_absolute_change"]["mean"] == 3
    assert found["changed_labels"] is None
    found = workflows.fairness(Labels(), TEXTS[1:3], SWAPS)["gender"]
    assert found["mean_absolute_change"]["mean"] == pytest.approx(0.9)
    assert found["changed_labels"]["mean"] == 1


class Generated:
    batch_size = 8

    def __call__(self, texts):
        return [{"text": t, "generated": "x", "score": -float(len(t))} for t in texts]


def test_other_predictions_than_a_number_are_refused(tmp_path):
    texts = ["he is good and she is late"]
    with pytest.raises(ValueError, match="this one predicts generated, score"):
        workflows.fairness(Generated(), texts, SWAPS)
    sizes = {"vocab_size": 300, "width": 8, "layers": 1, "heads": 2}
    path = workflows.new_language_model(tmp_path / "gpt", texts, family="gpt", **sizes)
    with pytest.raises(ValueError, match="this one predicts texts; name another"):
        workflows.fairness(workflows.Generator(path), texts, SWAPS)


def test_intervals_are_of_texts_not_of_pairs():
    """A template is one text, however many pairs fill it."""
    texts, pairs = ["{names} x"] * 3, tuple((f"a{i}", f"b{i}") for i in range(50))
    shifts = {f"a{i}": 0.5 * (i % 2) for i in range(50)}
    found = workflows.fairness(Classes(**shifts), texts, {"names": pairs})["names"]
    assert (found["texts"], found["pairs"]) == (3, 150)
    interval = found["mean_absolute_change"]
    assert np.ptp(list(interval.values())) < 1e-9  # All three texts move alike.


def test_texts_without_any_of_the_words_are_refused():
    with pytest.raises(ValueError, match="no text has a word of gender, companies"):
        workflows.fairness(Classes(), ["it rains"], SWAPS)


def test_the_command_writes_a_report_and_shows_a_table(adapted, tmp_path, capsys):
    templates = tmp_path / "templates.txt"
    templates.write_text("{topics} filler00 filler01\ntopic00 filler02\n")
    swaps = tmp_path / "swaps.json"
    swaps.write_text(json.dumps({"topics": [["topic00", "topic01"]]}))
    out = tmp_path / "fairness.json"
    args = ("--model", adapted, "--templates", templates, "--out", out)
    worlds.run("fairness", *args, "--swaps", swaps)
    found = json.loads(out.read_text())["topics"]
    assert (found["texts"], found["pairs"]) == (2, 2)
    assert found["mean_absolute_change"]["mean"] > 0.1  # For these do matter.
    assert "topics" in capsys.readouterr().out
    assert cli.main(["fairness", *map(str, args)]) == 2
    assert "no text has a word of gender, names" in capsys.readouterr().err
