"""Tests of the model cards of directories that are written."""

import json

import huggingface_hub
import pytest

import metaflax
from metaflax import config, data
from metaflax.workflows.inference._model_card import adapted_card, exported_card
from metaflax.workflows.runs._calibration import Calibration
from tests.workflows import worlds

TOPICS = worlds.TOPICS[:3]


def support(folder):
    rows = [*worlds.records(TOPICS, count=2), *worlds.records(TOPICS[:1], 1, seed=1)]
    return worlds.write_jsonl(folder / "support.jsonl", rows), rows


def card_of(folder):
    return huggingface_hub.ModelCard.load(folder / "README.md")


@pytest.mark.parametrize("by", ["adapt", "estimator"])
def test_every_written_classifier_has_a_card(tiny_bert, tmp_path, by):
    file, rows = support(tmp_path)
    out = tmp_path / "model"
    if by == "adapt":
        worlds.run("adapt", "--support", file, "--out", out, "--model", tiny_bert)
    else:
        classifier = metaflax.FewShotClassifier(tiny_bert)
        classifier.fit(*([row[name] for row in rows] for name in ("text", "label")))
        classifier.save(out)
    card = card_of(out)
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.library_name == "metaflax"
    for part in (
        f"- `{TOPICS[0]}`: 3 examples",
        f"- `{TOPICS[1]}`: 2 examples",
        "from the 7 texts",
        "`frozen` without meta-training",
        "pretrained model: `tiny`",
        "Licences were not stated",
        "Probabilities are not calibrated",
        f"truncated to {worlds.POSITIONS} tokens",
        "None was measured",
    ):
        assert part in card.text
    assert str(tmp_path) not in card.text


def run_folder(folder):
    """The files of a run that a card reads."""
    score = {"mean": 0.75, "half_width": 0.02}
    intervals = {
        name: {"accuracy": score, "loss": score} for name in ("before", "after")
    }
    results = {"episodes": 600, "intervals": intervals}
    (folder / "results.json").write_text(json.dumps(results))
    split = {"classes": ["a", "b"], "texts": 40, "digest": "0123456789abcdef" * 4}
    (folder / "data.json").write_text(json.dumps({"train": split}))
    return folder


def card_from_run(folder, calibration=None):
    examples = data.Examples("s.csv", ("x", "y"), (("a",), ("b",)))
    settings = config.Config()
    return adapted_card(
        folder / "m", settings, ("a", "b"), examples,
        run_dir=folder, calibration=calibration,
    )  # fmt: skip


def test_a_card_of_a_run_has_its_data_scores_and_calibration(tmp_path):
    fitted = Calibration(1.5, "largest_probability", (), (), 60, "5-way 5-shot", {})
    card = card_from_run(run_folder(tmp_path), fitted)
    for part in (
        "| after meta-training | 0.750 ± 0.020 |",
        "600 test episodes (5-way 5-shot)",
        "train split: 40 texts, 2 classes, SHA-256 `0123456789abcdef...`",
        "Temperature 1.5, fitted on 60 queries",
        "from a meta-trained model",
    ):
        assert part in card


def test_a_run_without_scores_is_no_error(tmp_path):
    card = card_from_run(tmp_path)
    assert "no test scores" in card
    assert "Probabilities are not calibrated." in card


def test_the_card_of_a_graph_continues_that_of_its_model(tmp_path):
    (tmp_path / "README.md").write_text("---\ntags: [x]\n---\n\n# model\n")
    card = exported_card("graph", tmp_path, "how to", 2e-7)
    assert card.startswith("---\ntags: [x]")
    assert "at most 2.0e-07" in card
    assert "was not compared" in exported_card(
        "graph", tmp_path / "no", "", float("nan")
    )
