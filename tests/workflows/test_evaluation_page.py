"""Tests of `evaluate` with all options, and of its pages and comparisons."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from metaflax import cli, evaluation, metrics, workflows
from metaflax.config._files import to_json
from metaflax.workflows.meta_testing import _report
from metaflax.workflows.meta_testing._out_of_scope import detector
from metaflax.workflows.runs._encoder_scorers import LogitScorer
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._run import load_run
from tests.reporting.pages import check_alone
from tests.workflows import worlds

LABEL = "<script>alert(1)</script>"


def results(run_dir, name):
    return json.loads((run_dir / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Texts of filler alone, in which no topic occurs."""
    rng = np.random.default_rng(0)
    rows = [{"text": text} for text in set(worlds.texts([], 60, rng))]
    path = tmp_path_factory.mktemp("others") / "others.jsonl"
    return worlds.write_jsonl(path, rows)


@pytest.fixture(scope="module")
def full(trained, others):
    """The name of an evaluation with all options that class means support."""
    asked = ("--out-of-scope", others, "--curve-shots", 1, 2, 5, "--test-episodes", 24)
    worlds.run("evaluate", trained, "--name", "full", *asked)
    return "full"


def evaluator_of(run_dir, **options):
    """A run's evaluator with other options, and its best parameters."""
    directory = workflows.RunDirectory(run_dir)
    run = load_run(directory.config())
    settings = {"seed": 1, "num_episodes": 13, **options}
    scorer = LogitScorer(run.config.algorithm, run.model, run.task, run.test)
    evaluator = Evaluator(scorer, run.task, **settings)
    return evaluator, directory.best_params(run.initial_params())


@pytest.mark.parametrize(
    "algorithm", ["protonet", pytest.param("fomaml", marks=pytest.mark.slow)]
)
def test_no_score_depends_on_the_order_of_episodes_or_how_many_are_scored_at_once(
    algorithm, trained_by
):
    found = {}
    for size in (1, 3, 10):
        evaluator, params = evaluator_of(trained_by(algorithm), batch_episodes=size)
        found[size] = evaluator(params)
    for size in (3, 10):
        for name, expected in found[1].metrics.items():
            np.testing.assert_allclose(
                found[size].metrics[name], expected, rtol=1e-5, atol=1e-6
            )
        np.testing.assert_array_equal(
            found[size].metrics["accuracy"], found[1].metrics["accuracy"]
        )
    order = np.random.default_rng(0).permutation(13)
    evaluator.episodes = tuple(evaluator.episodes[number] for number in order)
    shuffled = evaluator(params)
    for name, expected in found[10].metrics.items():
        np.testing.assert_allclose(
            shuffled.metrics[name], expected[order], rtol=1e-5, atol=1e-6
        )


def test_calibration_is_scored_on_test_and_fitted_on_validation(trained, full):
    found = results(trained, full)["calibration"]
    directory = workflows.RunDirectory(trained)
    run = load_run(directory.config())
    params = directory.best_params(run.initial_params())
    chosen = run.config.training
    validator = run.evaluator(run.valid, chosen.seed + 1, chosen.valid_episodes)
    logits, targets = validator.query_logits(validator(params))
    temperature = metrics.fit_temperature(
        np.concatenate(logits), np.concatenate(targets)
    )
    assert found["temperature"] == pytest.approx(temperature)
    assert found["validation_episodes"] == 20
    evaluator = run.evaluator(run.test, 1, 24)
    scores = evaluator(params)
    for key, value in (("as_is", 1.0), ("scaled", temperature)):
        expected = evaluation.calibration(*evaluator.query_logits(scores), value)
        assert found[key]["error"] == pytest.approx(expected.error._asdict())
        assert sum(found[key]["count"]) == 24 * 9


def test_confusion_and_classes_agree_with_the_report(trained, full):
    found = results(trained, full)
    confusion, report = found["confusion"], found["report"]
    counts = np.array(confusion["counts"])
    assert confusion["names"] == list(worlds.SPLIT["test"])
    assert np.trace(counts) / counts.sum() == pytest.approx(report["accuracy"])
    for name, row in zip(confusion["names"], counts, strict=True):
        assert row.sum() == report[name]["support"]
        scores = found["classes"][name]
        for score in ("precision", "recall", "f1-score"):
            assert scores[score]["value"] == pytest.approx(report[name][score])


def test_queries_are_scored_as_they_are_without_texts_out_of_scope(trained, others):
    directory = workflows.RunDirectory(trained)
    run = load_run(directory.config())
    params = directory.best_params(run.initial_params())
    plain, beside = run.test_evaluator(), detector(run, others)
    expected, _ = plain.query_logits(plain(params))
    found, _ = beside.query_logits(beside(params))
    np.testing.assert_allclose(
        [own[:9] for own in found], expected, rtol=1e-4, atol=1e-4
    )
    assert {own.shape for own in found} == {(18, 3)}


def test_detection_is_recorded_for_each_score(trained, full):
    found = results(trained, full)["detection"]
    assert (found["episodes"], found["source"]) == (24, "others.jsonl")
    for scores in found["scores"].values():
        assert 0 < scores["auroc"]["mean"] < 1
        assert 0 <= scores["false_positives"]["mean"] <= 1


def test_a_curve_equals_the_evaluation_at_its_number_of_shots(trained, full):
    found = results(trained, full)
    [curve] = found["curves"].values()
    by_shot = {point["value"]: point for point in curve}
    assert list(by_shot) == [1, 2, 5]
    assert by_shot[2]["protocol"] == found["protocol"]
    assert by_shot[2]["intervals"] == found["intervals"]["after"]
    assert by_shot[1]["protocol"] != found["protocol"]


@pytest.mark.slow
def test_a_curve_over_inner_steps_equals_the_evaluation_at_its_number_of_steps(
    trained_by,
):
    run_dir = trained_by("fomaml")
    worlds.run("evaluate", run_dir, "--name", "steps", "--curve-inner-steps", 0, 2)
    found = results(run_dir, "steps")
    none, own = found["curves"]["inner_steps"]
    assert own["intervals"] == found["intervals"]["after"]
    assert none["protocol"] == own["protocol"] == found["protocol"]
    assert none["intervals"]["loss"] != own["intervals"]["loss"]
    assert "By inner steps" in (run_dir / "steps.html").read_text()


def test_adapting_takes_time_and_memory(trained, full):
    found = results(trained, full)["adaptation"]
    seconds = found["seconds"]
    assert 0 < seconds["low"] <= seconds["value"] <= seconds["high"] < 60
    params = sum(8 * 32 for _ in worlds.VOCABULARY) // 2
    assert found["memory_bytes"]["peak"] >= found["memory_bytes"]["arguments"] > params
    assert found["flops"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--curve-inner-steps", 0, 1), "protonet adapts in closed form"),
        (("--curve-shots", 1, 30), "topic"),
        (("--out-of-scope", "nowhere.jsonl"), "nowhere.jsonl: no such file"),
    ],
)
def test_what_a_run_cannot_give_is_refused_before_anything_is_scored(
    trained, options, message, capsys
):
    args = ["evaluate", trained, "--name", "refused", *options]
    assert cli.main([str(arg) for arg in args]) == 2
    assert message in capsys.readouterr().err
    assert not (trained / "refused.json").exists()


def test_the_page_of_an_evaluation_is_one_file_with_every_part(trained, full):
    page = check_alone((trained / f"{full}.html").read_text())
    found = results(trained, full)
    for title in (
        *("Scores", "Calibration", "Out of scope", "By support examples", "Confusion"),
        *("By class or domain", "Cost of adapting to a task", "What was evaluated"),
    ):
        assert title in page.text
    for said in (found["protocol"], found["content"], "jax", "algorithm.temperature"):
        assert said in page.text
    mean = found["intervals"]["after"]["accuracy"]["mean"]
    assert f"{100 * mean:.1f} ±" in page.text


def test_a_label_that_looks_like_markup_is_shown_as_it_is(trained, full):
    told = (trained / f"{full}.json").read_text().replace("topic10", LABEL)
    (trained / "marked.json").write_text(told)
    worlds.run("report", trained, "--name", "marked")
    text = (trained / "marked.html").read_text()
    assert "<script" not in text
    assert LABEL in check_alone(text).text


def test_without_matplotlib_there_are_tables_alone(trained, full, monkeypatch):
    monkeypatch.setattr(_report._figures, "has_plots", lambda: False)
    text = _report.run_page("run", results(trained, full))
    assert "img" not in check_alone(text).tags


def test_one_episode_has_no_interval_and_its_files_are_json(trained, tmp_path, capsys):
    """Also with the methods, curves and queries whose scores vary over episodes."""
    asked = ("--curve-shots", 1, 2, "--baselines", "frozen", "--test-episodes", 1)
    worlds.run("evaluate", trained, "--name", "one", *asked)
    other = shutil.copytree(trained, tmp_path / "other")
    assert "inf" not in capsys.readouterr().out.split()

    def strict(path):
        def refuse(word):
            pytest.fail(f"{path} holds {word}, which is no JSON")

        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else ()
        for text in lines or [path.read_text()]:
            content = json.loads(text, parse_constant=refuse)
        return content

    [accuracy] = {
        (by_metric["accuracy"]["mean"] is None, by_metric["accuracy"]["half_width"])
        for by_metric in strict(trained / "one.json")["intervals"].values()
    }
    assert accuracy == (False, None)
    strict(trained / "one.episodes.jsonl")
    worlds.run("report", trained, "--name", "one")
    page = (trained / "one.html").read_text()
    assert "± inf" not in page
    compared = tmp_path / "compared.html"
    worlds.run("compare", trained, other, "--name", "one", "--out", compared)
    assert "inf" not in capsys.readouterr().out.split()
    assert "± inf" not in compared.read_text()


def test_training_results_have_a_page_and_missing_ones_have_none(trained, capsys):
    worlds.run("report", trained, "--name", "results")
    check_alone((trained / "results.html").read_text())
    assert cli.main(["report", str(trained), "--name", "nothing"]) == 2
    assert "nothing.json is not there; run" in capsys.readouterr().err


@pytest.fixture(scope="module")
def two(trained, trained_by):
    """Two runs, evaluated on the same eight episodes."""
    runs = [trained, trained_by("fomaml")]
    for run_dir in runs:
        worlds.run("evaluate", run_dir, "--name", "eight", "--test-episodes", 8)
    return runs


@pytest.mark.thorough
def test_runs_on_the_same_episodes_are_compared_one_by_one(two, tmp_path, silent):
    out = tmp_path / "page.html"
    found = workflows.compare_runs(two, silent, name="eight", out=out)
    scores = [
        [
            row["after"]["accuracy"]
            for row in worlds.read_jsonl(d / "eight.episodes.jsonl")
        ]
        for d in two
    ]
    expected = evaluation.paired_bootstrap(*map(np.array, scores))
    [(name, of_metrics)] = found["paired_bootstrap"].items()
    assert of_metrics["accuracy"] == pytest.approx(expected._asdict())
    assert found["intervals"][name]["accuracy"]["mean"] == pytest.approx(
        np.mean(scores[1])
    )
    page = check_alone(out.read_text())
    assert "algorithm.name" in page.text
    assert found["protocol"] in page.text


@pytest.mark.thorough
def test_runs_on_different_episodes_are_refused_with_their_hashes(two, capsys):
    other = ("--name", "other", "--test-episodes", 8)
    worlds.run("evaluate", two[0], *other)
    worlds.run("evaluate", two[1], *other, "--test-seed", 7)
    args = ["compare", *map(str, two), "--name", "other"]
    assert cli.main(args) == 2
    said = capsys.readouterr().err
    assert "different episodes: their protocols are" in said
    for run_dir in two:
        assert results(run_dir, "other")["protocol"][:12] in said


@pytest.mark.thorough
def test_the_same_numbers_of_other_texts_are_refused_too(two, silent):
    told = results(two[1], "eight") | {"content": "0" * 64}
    path = two[1] / "elsewhere.json"
    path.write_text(json.dumps(told))
    for run_dir in two:
        shutil.copy(
            run_dir / "eight.episodes.jsonl", run_dir / "elsewhere.episodes.jsonl"
        )
    shutil.copy(two[0] / "eight.json", two[0] / "elsewhere.json")
    with pytest.raises(ValueError, match="their texts are [0-9a-f]{12} and 0{12}"):
        workflows.compare_runs(two, silent, name="elsewhere")


@pytest.mark.thorough
def test_one_run_alone_and_one_without_episodes_are_not_compared(two, silent):
    with pytest.raises(ValueError, match="two runs at least"):
        workflows.compare_runs(two[:1], silent)
    with pytest.raises(ValueError, match=r"results.*lacks a content hash or scores"):
        workflows.compare_runs(two, silent, name="results")


def test_classes_of_training_among_those_of_test_are_refused(world, tmp_path, capsys):
    leaking = {**worlds.SPLIT, "test": [*worlds.SPLIT["test"], worlds.TOPICS[0]]}
    split = tmp_path / "leaking.json"
    split.write_text(json.dumps(leaking))
    args = world.train_args(tmp_path / "run", split_file=split)
    assert cli.main([str(arg) for arg in args]) == 2
    assert "train and test share the labels 'topic00'" in capsys.readouterr().err


def test_a_browser_shows_the_page_without_complaint(trained, full, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not on the PATH")
    picture = tmp_path / "page.png"
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--enable-logging=stderr", "--window-size=1200,2400"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}",
            (trained / f"{full}.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_run_has_the_sizes_of_the_command_in_its_record(trained, full):
    told = to_json(workflows.RunDirectory(trained).config())
    changed = results(trained, full)["config"]
    expected = json.loads(told)
    expected["evaluation"]["test_episodes"] = 24
    assert changed == expected
