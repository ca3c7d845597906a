"""Tests of the model cards of written directories."""

import json
import shutil

import huggingface_hub
import pytest

import metaflax
from metaflax import config, data
from metaflax.workflows.inference._model_card import adapted_card, exported_card
from metaflax.workflows.runs._calibration import Calibration
from metaflax.workflows.runs._licences import stated_licence
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
        "pretrained model: `tiny`, licence not stated",
        "find it out before you publish",
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
    licences = {"model": "apache-2.0", "path": "CC BY 3.0"}
    (folder / "licences.json").write_text(json.dumps(licences))
    return folder


def card_from_run(folder, calibration=None):
    examples = data.Examples("s.csv", ("x", "y"), (("a",), ("b",)))
    settings = config.Config(
        data=config.DataConfig("/far/texts"),
        episodes=config.EpisodeConfig(train_way=7, train_shot=1),
    )
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
        '`minilm`, licence "apache-2.0", as its README.md states',
        'meta-training: `texts`, licence "CC BY 3.0"',
        "500 steps of 4 (7-way 1-shot)",
        "support set: `s.csv`, licence not stated",
        "Licences of the pretrained model and of each data set apply",
    ):
        assert part in card


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\nLicence: other", "apache-2.0"),
        ("---\nlicense:\n- mit\n- cc0-1.0\n---\n", "mit, cc0-1.0"),
        ("# Texts\n\n- **Licence:** CC BY 3.0 (theirs)\n- more", "CC BY 3.0 (theirs)"),
        ("License: MIT", "MIT"),
        ("# Licence\n\nThe licence of these texts is unknown.", None),
        ("---\n[\n---\nLicence: MIT", "MIT"),
        (None, None),
    ],
)
def test_licences_are_quoted_from_the_readme_beside_the_files(
    readme, licence, tmp_path
):
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    for path in (tmp_path, tmp_path / "texts.jsonl"):
        assert stated_licence(path) == licence


def test_a_run_records_the_licences_of_its_model_and_data(world, tmp_path):
    for name in ("model", "data"):
        (tmp_path / name).mkdir()
    shutil.copytree(world.model, tmp_path / "model", dirs_exist_ok=True)
    shutil.copyfile(world.data, tmp_path / "data" / "texts.jsonl")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "data" / "README.md").write_text("Licence: CC BY 4.0")
    options = {"model": tmp_path / "model", "data": tmp_path / "data" / "texts.jsonl"}
    worlds.run(*world.train_args(tmp_path / "run", steps=1, **options))
    file, _ = support(tmp_path)
    worlds.run(
        *("adapt", "--run", tmp_path / "run", "--support", file),
        *("--out", tmp_path / "out"),
    )
    text = card_of(tmp_path / "out").text
    assert '`model`, licence "mit"' in text
    assert '`texts.jsonl`, licence "CC BY 4.0"' in text
    assert "1 steps of 2 (3-way 2-shot)" in text


def test_a_run_without_scores_is_no_error(tmp_path):
    card = card_from_run(tmp_path)
    assert "no test scores" in card
    assert "Probabilities are not calibrated." in card


def test_the_card_of_a_graph_is_that_of_its_model_with_another_use(tmp_path):
    written = card_from_run(run_folder(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "README.md").write_text(written)
    card = exported_card("graph", tmp_path / "m", "how to", 2e-7)
    assert "at most 2.0e-07" in card
    assert "\n# graph\n" in card
    assert "metaflax.load" not in card
    assert "Hugging Face's format" not in card
    for part in ("library_name: metaflax", "## Data", "0.750 ± 0.020", "## Limits"):
        assert part in card
    assert "was not compared" in exported_card(
        "graph", tmp_path / "no", "", float("nan")
    )
