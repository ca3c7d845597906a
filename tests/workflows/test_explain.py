"""Tests for `predict --explain`: word attributions and nearest support texts."""

import io
import shutil

import numpy as np
import pytest

from metaflax import cli, workflows
from metaflax.workflows.inference._explain import check_by_deletion
from tests.workflows import worlds

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def explainer(adapted):
    return workflows.Explainer(adapted)


@pytest.fixture(scope="module")
def texts():
    """Texts of the model's three topics that are not in its support set."""
    records = worlds.records(worlds.TOPICS[:3], count=20, seed=5)
    return [record["text"] for record in records]


@pytest.fixture(scope="module")
def answers(explainer, texts):
    return [a for i in range(0, 60, 20) for a in explainer(texts[i : i + 20])]


def test_answers_are_those_without_explanations(adapted, texts, answers):
    plain = workflows.Predictor(adapted)(texts[:5])
    for one, other in zip(plain, answers, strict=False):
        assert {name: other[name] for name in one} == one
        assert other["explained"] == one["label"]


def missed(answer):
    """The difference of the sum of attributions and baseline from the probability."""
    total = sum(word["attribution"] for word in answer["words"])
    reached = answer["baseline"] + total
    return abs(answer["probabilities"][answer["explained"]] - reached)


def test_words_add_up_from_the_baseline_to_the_probability(adapted, answers):
    for answer in answers:
        assert [w["word"] for w in answer["words"]] == answer["text"].split()
        # Probability, baseline and every attribution are rounded to six digits.
        assert missed(answer) == pytest.approx(answer["completeness_error"], abs=1e-5)
    assert np.median([missed(answer) for answer in answers]) < 1e-3
    # More gradients are needed where the probability rises steeply on the path.
    worst = max(answers, key=missed)
    [exact] = workflows.Explainer(adapted, num_steps=512)([worst["text"]])
    assert missed(exact) < min(1e-3, missed(worst))
    # A text without a word's embedding is none that the model is sure of.
    assert np.ptp([answer["baseline"] for answer in answers]) > 0


def test_the_word_of_the_class_has_the_largest_attribution(answers):
    right = [answer for answer in answers if answer["label"] in answer["text"]]
    assert len(right) > 40
    most = [max(a["words"], key=lambda w: w["attribution"])["word"] for a in right]
    found = [word == a["label"] for word, a in zip(most, right, strict=True)]
    assert np.mean(found) > 0.9


def test_deleting_words_of_large_attribution_lowers_the_probability_more(
    explainer, texts
):
    found = check_by_deletion(explainer, texts)
    assert found.difference.low > 0
    assert found.difference.mean == pytest.approx(
        found.attributed.mean - found.random.mean
    )
    with pytest.raises(ValueError, match="no text has two words"):
        check_by_deletion(explainer, ["topic00"])


def test_the_nearest_of_a_support_text_is_itself(adapted, explainer):
    support = worlds.read_jsonl(adapted / "support.jsonl")
    assert len(support) == 9
    for answer, row in zip(
        explainer([row["text"] for row in support]), support, strict=True
    ):
        nearest = answer["nearest"]
        similarities = [found["similarity"] for found in nearest]
        assert len(nearest) == 3
        assert similarities == sorted(similarities, reverse=True)
        assert nearest[0]["similarity"] == pytest.approx(1, abs=1e-3)
        assert {"text": row["text"], "label": row["label"][0]} in [
            {"text": n["text"], "label": n["label"]}
            for n in nearest
            if n["similarity"] == pytest.approx(nearest[0]["similarity"], abs=1e-3)
        ]


def test_the_command_explains_in_both_formats(adapted, tmp_path, monkeypatch, capsys):
    for options, held in (
        ((), '"nearest": [{"text": '),
        (("--format", "csv"), "explained,words,baseline,completeness_error,nearest"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO("topic00 filler00\n"))
        args = ["predict", "--model", str(adapted), "--explain", "--nearest", "1"]
        assert cli.main([*args, *options]) == 0
        said = capsys.readouterr()
        assert held in said.out
        assert said.err == ""


def test_a_directory_without_its_support_says_so_in_a_sentence(
    adapted, tmp_path, capsys
):
    older = tmp_path / "older"
    shutil.copytree(adapted, older)
    (older / "support.jsonl").unlink()
    file = worlds.write_jsonl(tmp_path / "texts.jsonl", [{"text": "topic00 filler00"}])
    out = tmp_path / "answers.jsonl"
    args = ("--model", older, "--texts", file, "--out", out)
    worlds.run("predict", *args, "--explain", "--explain-steps", 4)
    [answer] = worlds.read_jsonl(out)
    assert "nearest" not in answer
    assert len(answer["words"]) == 2
    said = capsys.readouterr().err
    assert "has no support.jsonl" in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_numbers_and_several_labels_are_explained_too(world, tmp_path):
    rng = np.random.default_rng(0)
    rows = {
        "regression": [
            {"text": text, "label": float(number)}
            for number in (0, 1)
            for text in worlds.texts([worlds.TOPICS[number]], 5, rng)
        ],
        "multilabel_classification": worlds.label_records(20),
    }
    for task, records in rows.items():
        support = worlds.write_jsonl(tmp_path / f"{task}.jsonl", records)
        out = tmp_path / task
        args = ("--support", support, "--model", world.model, "--out", out)
        worlds.run("adapt", *args, "--task", task)
        explainer = workflows.Explainer(out, num_nearest=1)
        [answer] = explainer([records[0]["text"]])
        assert answer["completeness_error"] < 1e-2
        assert answer["nearest"][0]["text"] == records[0]["text"]
        assert answer["nearest"][0]["label"] == (
            records[0]["label"]
            if task == "regression" or len(records[0]["label"]) > 1
            else records[0]["label"][0]
        )


def test_what_reads_more_than_single_texts_is_refused(world, tmp_path, capsys):
    rows = [
        {"text": "topic00", "text_pair": f"topic0{i % 2}", "label": str(i % 2)}
        for i in range(4)
    ]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    out = tmp_path / "out"
    args = ("--support", support, "--model", world.model, "--out", out)
    worlds.run("adapt", *args, "--task", "pair_classification")
    assert not (out / "support.jsonl").exists()
    assert cli.main(["predict", "--model", str(out), "--explain"]) == 2
    assert "no classifier of single texts" in capsys.readouterr().err
