"""Tests that predictions use the temperature and thresholds of their run."""

import json
import shutil

import numpy as np
import pytest

import metaflax
from metaflax import cli, data, metrics, workflows
from metaflax.data.samplers._other_classes import QueriesOfOtherClasses
from metaflax.workflows.runs._calibration import RATES, Calibration, fit_thresholds
from tests.workflows import worlds

TEXTS = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=8, seed=4)]


def changed(directory, target, change):
    """A copy of an adapted directory with another calibration."""
    shutil.copytree(directory, target)
    path = target / "config.json"
    content = json.loads(path.read_text())
    content["metaflax"] = change(content["metaflax"])
    path.write_text(json.dumps(content))
    return target


def without_calibration(ours):
    return {name: value for name, value in ours.items() if name != "calibration"}


@pytest.mark.parametrize("scores", ["few", "many", "ties"])
def test_no_rate_rejects_more_queries_than_it_states(scores):
    rng = np.random.default_rng(0)
    drawn = {
        "few": rng.normal(size=7),
        "many": rng.normal(size=2500),
        "ties": rng.integers(0, 9, 300).astype(float),
    }[scores]
    rates, thresholds = fit_thresholds(drawn)
    assert rates == tuple(rate for rate in RATES if rate * len(drawn) >= 1)
    assert list(thresholds) == sorted(thresholds)
    for rate, threshold in zip(rates, thresholds, strict=True):
        assert np.mean(drawn < threshold) <= rate
        if scores != "ties":
            assert np.mean(drawn < threshold) > rate - 1.001 / len(drawn)


def test_rates_between_are_interpolated_and_others_refused():
    fitted = Calibration(1, "largest_logit", (0.1, 0.2), (1.0, 3.0), 10, "", {})
    assert fitted.threshold(0.15) == pytest.approx(2)
    for rate in (0.05, 0.3, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"10 queries .* give 0\.1 to 0\.2"):
            fitted.threshold(rate)


def test_the_temperature_of_the_run_is_applied_with_the_raw_score_beside(
    trained, adapted, tmp_path
):
    fitted = json.loads((trained / "calibration.json").read_text())
    saved = json.loads((adapted / "config.json").read_text())["metaflax"]
    assert saved["calibration"] == fitted
    cold = changed(
        adapted,
        tmp_path / "cold",
        lambda ours: ours | {"calibration": fitted | {"temperature": 2.5}},
    )
    plain = workflows.Predictor(
        changed(adapted, tmp_path / "plain", without_calibration)
    )
    logits = plain._outputs(plain.tokenize(TEXTS))
    rows = zip(metaflax.load(cold)(TEXTS), plain(TEXTS), logits, strict=True)
    for calibrated, raw, row in rows:
        assert "raw_score" not in raw
        assert calibrated["label"] == raw["label"]
        after = list(calibrated["probabilities"].values())
        np.testing.assert_allclose(after, metrics.softened(row, 2.5), atol=1e-5)
        assert calibrated["raw_score"] == pytest.approx(
            metrics.softened(row).max(), abs=1e-5
        )


def test_the_temperature_is_that_of_the_validation_episodes(trained):
    """`evaluate` fits one too, for the same sizes of episodes."""
    fitted = json.loads((trained / "calibration.json").read_text())
    worlds.run("evaluate", trained, "--name", "calibrated")
    record = json.loads((trained / "calibrated.json").read_text())["calibration"]
    if fitted["temperature"] != 1:
        assert record["temperature"] == pytest.approx(fitted["temperature"])
    assert fitted["queries"] == 20 * 3 * 3


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_rejected_texts_have_no_label_and_are_counted(
    format, adapted, tmp_path, capsys
):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{text}\n" for text in [*TEXTS, "[UNK] filler00"]))
    args = ("predict", "--model", adapted, "--texts", texts, "--reject", 0.3)
    worlds.run(*args, "--format", format)
    shown = capsys.readouterr()
    predictor = metaflax.load(adapted, reject=0.3)
    assert predictor.calibration is not None
    threshold = predictor.calibration.threshold(0.3)
    rows = predictor([*TEXTS, "[UNK] filler00"][:32])
    for row in rows:
        assert (row["label"] is None) == (row["confidence"] < threshold)
        likely = max(row["probabilities"], key=row["probabilities"].get)
        assert row["best_label"] == likely
        assert row["label"] in (None, likely)
    rejected = sum(row["label"] is None for row in rows)
    assert 0 < rejected < len(rows)
    assert f"{rejected} of {len(rows)} texts were rejected" in shown.err
    if format == "jsonl":
        assert [json.loads(line) for line in shown.out.splitlines()] == rows


def test_directories_of_earlier_versions_predict_and_reject_nothing(
    adapted, tmp_path, capsys
):
    old = changed(adapted, tmp_path / "old", lambda ours: {"task": ours["task"]})
    answers = metaflax.load(old)(TEXTS)
    assert [a["label"] for a in answers] == [
        a["label"] for a in metaflax.load(adapted)(TEXTS)
    ]
    assert cli.main(["predict", "--model", str(old), "--reject", "0.1"]) == 2
    assert "adapt it again from a run" in capsys.readouterr().err


def test_runs_of_earlier_versions_adapt_and_are_calibrated_by_evaluate(
    trained, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    fitted = json.loads((run / "calibration.json").read_text())
    (run / "calibration.json").unlink()
    records = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", records)
    args = ("adapt", "--support", support, "--run", run)
    worlds.run(*args, "--out", tmp_path / "before")
    assert "not calibrated" in capsys.readouterr().out
    worlds.run("evaluate", run)
    assert json.loads((run / "calibration.json").read_text()) == fitted
    worlds.run(*args, "--out", tmp_path / "after")
    assert "calibrated at temperature" in capsys.readouterr().out
    assert workflows.Predictor(tmp_path / "before").calibration is None
    assert workflows.Predictor(tmp_path / "after").calibration is not None


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"temperature": 1},
        {"temperature": 0},
        {"temperature": "hot"},
        {"score": "mood"},
        {"rates": [0.1]},
        {"thresholds": [None]},
    ],
)
def test_damaged_calibrations_are_named(record, adapted, tmp_path, capsys):
    def damage(ours):
        whole = ours["calibration"]
        partial = not isinstance(record, dict) or record == {"temperature": 1}
        return ours | {"calibration": record if partial else whole | record}

    model = changed(adapted, tmp_path / "model", damage)
    assert cli.main(["predict", "--model", str(model)]) == 2
    error = capsys.readouterr().err
    assert "config.json holds no calibration that can be read" in error


def test_texts_of_other_classes_choose_the_score(trained_by):
    run = trained_by("protonet", way=2)  # Of three classes of meta-validation.
    fitted = json.loads((run / "calibration.json").read_text())
    auroc = {name: area["mean"] for name, area in fitted["auroc"].items()}
    assert set(auroc) == {"largest_logit", "largest_probability"}
    assert fitted["score"] == max(auroc, key=auroc.get)


@pytest.mark.parametrize("domains", [None, ("x", "y") * 16])
def test_queries_of_other_classes_have_none_that_was_drawn(domains):
    texts = tuple(f"{number} {c}" for c in "abcd" for number in range(8))
    examples = data.Examples("e", texts, tuple((t[-1],) for t in texts))
    if domains is not None:
        examples = data.Examples("e", texts, examples.labels, domains=domains)
    sampler = data.EpisodeSampler(examples, way=(2, 3), shot=1, queries=2)
    others = QueriesOfOtherClasses(sampler, examples)
    for index in range(30):
        plain, other = (s.episode(3, index) for s in (sampler, others))
        np.testing.assert_array_equal(plain.support, other.support)
        assert plain.query.shape == other.query.shape
        drawn = {examples.label_names[number] for number in plain.classes}
        assert not drawn & {texts[row][-1] for row in other.query}
        if domains is not None:
            [domain] = {domains[row] for row in (*other.query, *other.support)}
            assert domain == examples.domain_names[plain.domain]


def test_an_episode_of_all_classes_has_no_other_queries():
    texts = tuple(f"{number} {c}" for c in "ab" for number in range(4))
    examples = data.Examples("e", texts, tuple((t[-1],) for t in texts))
    sampler = data.EpisodeSampler(examples, way=2, shot=1, queries=2)
    with pytest.raises(ValueError, match="no text belongs to another"):
        QueriesOfOtherClasses(sampler, examples).episode(0, 0)


def test_the_explained_probability_is_the_calibrated_one(adapted, tmp_path):
    fitted = json.loads((adapted / "config.json").read_text())["metaflax"]
    warm = changed(
        adapted,
        tmp_path / "warm",
        lambda ours: (
            ours | {"calibration": fitted["calibration"] | {"temperature": 3.0}}
        ),
    )
    explainer = metaflax.load(warm, explain=True, num_steps=32)
    [answer] = explainer(TEXTS[:1])
    total = answer["baseline"] + sum(w["attribution"] for w in answer["words"])
    likely = answer["probabilities"][answer["explained"]]
    assert total == pytest.approx(likely, abs=0.05)
