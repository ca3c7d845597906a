"""Tests from `evaluate` through `adapt` to `predict`, all through files."""

import io
import json

import jax
import numpy as np
import pytest

from metaflax import base, config, data, models, tasks, workflows
from metaflax import cli as cli_lib
from metaflax.config._factories import build_algorithm
from metaflax.workflows.runs._episodes import load_splits
from metaflax.workflows.runs._load_model import load_model
from tests.workflows import worlds


def predicted(directory, texts, tmp_path, *options):
    """The predictions of `predict` for texts, through files."""
    file = worlds.write_jsonl(tmp_path / "texts.jsonl", [{"text": t} for t in texts])
    out = tmp_path / "answers.jsonl"
    worlds.run("predict", "--model", directory, "--texts", file, "--out", out, *options)
    return worlds.read_jsonl(out)


def export(run_dir, number, *options):
    """The episode's folder and its line in the episodes file."""
    args = (
        "evaluate",
        run_dir,
        "--name",
        "exported",
        "--export-episodes",
        number,
        *options,
    )
    worlds.run(*args)
    lines = worlds.read_jsonl(run_dir / "exported.episodes.jsonl")
    return run_dir / f"exported.episode{number}", lines[number]


def test_evaluating_again_scores_the_same_episodes_the_same(trained):
    worlds.run("evaluate", trained, "--name", "once")
    once = json.loads((trained / "once.json").read_text())
    results = json.loads((trained / "results.json").read_text())
    for key in ("protocol", "intervals", "paired_difference_from_before", "report"):
        assert once[key] == results[key]
    lines = worlds.read_jsonl(trained / "once.episodes.jsonl")
    assert [line["episode"] for line in lines] == list(range(40))
    for method in ("before", "after"):
        mean = np.mean([line[method]["accuracy"] for line in lines])
        expected = results["intervals"][method]["accuracy"]["mean"]
        assert mean == pytest.approx(expected)


def test_other_sizes_are_other_episodes_and_baselines_stand_beside(trained, capsys):
    options = ("--shot", 1, "--test-episodes", 6, "--name", "one-shot")
    baselines = ("--baselines", "frozen", "fine_tuning")
    worlds.run("evaluate", trained, *options, *baselines)
    found = json.loads((trained / "one-shot.json").read_text())
    results = json.loads((trained / "results.json").read_text())
    assert found["protocol"] != results["protocol"]
    assert found["episodes"] == 6
    assert set(found["intervals"]) == {"before", "frozen", "fine_tuning", "after"}
    # Untrained prototypes are what `frozen` is.
    assert found["intervals"]["frozen"] == found["intervals"]["before"]
    assert "3-way 1-shot, 6 test episodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "algorithm",
    [
        "protonet",
        pytest.param("anil", marks=pytest.mark.slow),
        pytest.param("proto_maml", marks=pytest.mark.slow),
        pytest.param("fomaml", marks=pytest.mark.slow),
    ],
)
def test_adapt_and_predict_repeat_the_accuracy_of_an_exported_episode(
    algorithm, trained_by, tmp_path
):
    run_dir = trained_by(algorithm)
    folder, scores = export(run_dir, 1)
    support, query = (
        worlds.read_jsonl(folder / f"{part}.jsonl") for part in ("support", "query")
    )
    assert (len(support), len(query)) == (3 * 2, 3 * 3)
    assert not {r["text"] for r in support} & {r["text"] for r in query}
    out = tmp_path / "adapted"
    worlds.run(
        *("adapt", "--support", folder / "support.jsonl", "--out", out),
        *("--run", run_dir),
    )
    answers = predicted(out, [r["text"] for r in query], tmp_path)
    right = [a["label"] == r["label"] for a, r in zip(answers, query, strict=True)]
    assert np.mean(right) == pytest.approx(scores["after"]["accuracy"], abs=1e-6)


def test_an_adapted_directory_needs_neither_run_nor_model(
    world, trained, adapted, tmp_path, monkeypatch
):
    texts = [r["text"] for r in worlds.records(worlds.TOPICS[:3], count=2, seed=2)]
    expected = predicted(adapted, texts, tmp_path)
    for path in (adapted, trained, world.model):
        path.rename(path.with_name(path.name + "-away"))
    try:
        (adapted.with_name(adapted.name + "-away")).rename(tmp_path / "moved")
        assert predicted(tmp_path / "moved", texts, tmp_path) == expected
        (tmp_path / "moved").rename(adapted.with_name(adapted.name + "-away"))
    finally:
        for path in (adapted, trained, world.model):
            path.with_name(path.name + "-away").rename(path)


@pytest.mark.parametrize(
    ("pooling", "standardize"),
    [
        ("mean", True),
        ("first", False),
        pytest.param("mean", False, marks=pytest.mark.slow),
        pytest.param("first", True, marks=pytest.mark.slow),
    ],
)
def test_torch_computes_the_logits_of_the_adapted_model(
    world, pooling, standardize, tmp_path, silent
):
    torch = pytest.importorskip("torch")
    import transformers

    chosen = config.Config(
        model=config.ModelConfig(str(world.model), pooling, standardize),
        data=config.DataConfig(max_length=worlds.POSITIONS),
        algorithm=config.AlgorithmConfig(name="frozen", temperature=3.0),
    )
    records = worlds.records(worlds.TOPICS[:3], count=3)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", records)
    out = workflows.adapt(support, tmp_path / "out", silent, config=chosen)

    model = load_model(chosen.model)
    algorithm = build_algorithm(
        chosen.algorithm, model.encoder, model.init, config.build_task(chosen), 3
    )
    params = algorithm.init(jax.random.key(0))

    def tokens(texts):
        found = model.tokenize(texts, chosen.data, tasks.TEXT)
        return data.collate_texts(found, np.arange(len(texts)), len(texts))

    queries = [r["text"] for r in worlds.records(worlds.TOPICS[:3], count=4, seed=1)]
    batch = base.Batch(
        tokens([r["text"] for r in records]),
        np.repeat(np.arange(3, dtype=np.int32), 3),
        np.ones(9, np.float32),
    )
    adapted, _ = jax.jit(algorithm.adapt)(params, batch)
    ours = jax.jit(algorithm.predict)(params, adapted, tokens(queries)).logits

    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    encoded = transformers.AutoTokenizer.from_pretrained(out)(
        queries, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = theirs(**encoded).logits.numpy()
    np.testing.assert_allclose(logits, ours, atol=1e-5 * np.abs(ours).max())
    assert theirs.config.id2label == dict(enumerate(worlds.TOPICS[:3]))


def test_without_a_run_the_pretrained_model_adapts_as_it_is(world, tmp_path):
    records = worlds.records(worlds.TOPICS[:2], count=6)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", records)
    args = ("--support", support, "--model", world.model, "--out", tmp_path / "out")
    worlds.run("adapt", *args)
    answers = predicted(tmp_path / "out", [r["text"] for r in records], tmp_path)
    assert {a["label"] for a in answers} <= set(worlds.TOPICS[:2])
    assert models.load(tmp_path / "out").labels == worlds.TOPICS[:2]


@pytest.fixture(scope="module")
def multilabel_run(world, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("multilabel") / "run"
    options = {"task": "multilabel_classification", "learning_rate": 1e-2}
    worlds.run(*world.train_args(run_dir, data=world.multilabel, **options))
    return run_dir


@pytest.mark.thorough
def test_csv_predictions_of_several_labels_are_read_back(multilabel_run, tmp_path):
    """A CSV file that `predict` wrote is a support file of `adapt`."""
    support, model = tmp_path / "support.csv", tmp_path / "model"
    rows = ['"topic00 filler00","[""topic00"", ""x|y""]"', "topic01 filler01,topic01"]
    support.write_text("\n".join(["text,label", *rows]))
    worlds.run("adapt", "--run", multilabel_run, "--support", support, "--out", model)
    names = workflows.Predictor(model).names
    assert names == ["topic00", "x|y", "topic01"]

    def predict(texts):
        predicted = {
            "text": texts,
            "labels": names[:2],
            "probabilities": {"topic00": 1},
        }
        return [predicted for _ in texts]

    predict.batch_size, predict.notes = 1, list
    predict.form = tasks.multilabel_classification().form
    out = io.StringIO()
    workflows.predict(predict, ["topic00"], out, format="csv")
    (tmp_path / "out.csv").write_text(out.getvalue())
    task = tasks.multilabel_classification()
    [labels] = data.read(tmp_path / "out.csv", task=task, label="labels").labels
    assert labels == ("topic00", "x|y")


def test_labels_are_divided_at_the_separator_of_the_config(world, tmp_path):
    rows = worlds.read_jsonl(world.multilabel)
    joined = [row | {"label": "|".join(row["label"])} for row in rows]
    file = worlds.write_jsonl(tmp_path / "joined.jsonl", joined)
    task = tasks.multilabel_classification()
    whole, divided = (
        load_splits(config.DataConfig(str(path), label_separator="|"), task)
        for path in (world.multilabel, file)
    )
    assert divided.train.labels == whole.train.labels
    with pytest.raises(ValueError, match="one label or several"):
        load_splits(config.DataConfig(str(file)), task)


def test_several_labels_a_text_from_training_to_prediction(multilabel_run, tmp_path):
    results = json.loads((multilabel_run / "results.json").read_text())
    assert set(results["intervals"]["after"]) == {"loss", "micro_f1"}
    folder, scores = export(multilabel_run, 0)
    args = ("--support", folder / "support.jsonl", "--out", tmp_path / "out")
    worlds.run("adapt", *args, "--run", multilabel_run)
    query = worlds.read_jsonl(folder / "query.jsonl")
    answers = predicted(tmp_path / "out", [r["text"] for r in query], tmp_path)
    said = [set(a["labels"]) for a in answers]
    true = [set(r["label"]) for r in query]
    hits = sum(len(s & t) for s, t in zip(said, true, strict=True))
    f1 = 2 * hits / sum(len(s) + len(t) for s, t in zip(said, true, strict=True))
    assert f1 == pytest.approx(scores["after"]["micro_f1"], abs=1e-6)
    for answer in answers:
        assert set(answer["probabilities"]) == set(worlds.SPLIT["test"])
        assert all(0 <= p <= 1 for p in answer["probabilities"].values())
        likely = {n for n, p in answer["probabilities"].items() if p > 0.5}
        assert set(answer["labels"]) == likely


def test_fine_tuning_prints_a_table_and_writes_a_classifier(trained, tmp_path, capsys):
    files = {
        part: worlds.write_jsonl(
            tmp_path / f"{part}.jsonl",
            worlds.records(worlds.TOPICS[9:11], count=8, seed=seed),
        )
        for seed, part in enumerate(("train", "test"))
    }
    out = tmp_path / "tuned"
    options = ("--epochs", 2, "--batch-size", 8, "--out", out)
    args = ("--run", trained, "--train", files["train"], "--test", files["test"])
    worlds.run("finetune", *args, *options)
    shown = capsys.readouterr().out
    for word in ("pretrained", "meta-trained", "difference", "accuracy", "2 classes"):
        assert word in shown
    answers = predicted(out, ["topic09 filler00"], tmp_path)
    assert set(answers[0]["probabilities"]) == {"topic09", "topic10"}


@pytest.mark.thorough
def test_a_run_of_several_labels_is_fine_tuned_to_one_a_text(multilabel_run, tmp_path):
    rows = worlds.records(worlds.TOPICS[:2], count=4)
    file, out = worlds.write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "tuned"
    files = ("--run", multilabel_run, "--train", file, "--test", file)
    worlds.run("finetune", *files, "--epochs", 1, "--out", out)
    [answer] = predicted(out, ["topic00"], tmp_path)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_fine_tuning_refuses_a_test_label_that_training_lacks(
    trained, tmp_path, capsys
):
    train = worlds.write_jsonl(
        tmp_path / "train.jsonl", worlds.records(worlds.TOPICS[:2], count=2)
    )
    test = worlds.write_jsonl(
        tmp_path / "test.jsonl", worlds.records(worlds.TOPICS[:3], count=2)
    )
    out = tmp_path / "out"
    options = ("--run", trained, "--train", train, "--test", test, "--out", out)
    assert cli_lib.main(["finetune", *map(str, options)]) == 2
    assert "topic02" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", [2, 4])
def test_prototypes_are_evaluated_at_any_way(way, world, tmp_path):
    """Validation and training keep their sizes."""
    names = {**worlds.SPLIT, "test": worlds.TOPICS[8:], "valid": worlds.TOPICS[6:8]}
    split = tmp_path / "split.json"
    split.write_text(json.dumps(names))
    run_dir = tmp_path / "run"
    options = {"way": 2, "train_way": 3, "split_file": split, "steps": 1}
    worlds.run(*world.train_args(run_dir, **options))
    worlds.run("evaluate", run_dir, "--way", way, "--baselines", "fine_tuning")
    found = json.loads((run_dir / "evaluation.json").read_text())
    assert found["intervals"]["fine_tuning"]["accuracy"]["mean"] > 0


@pytest.mark.thorough
def test_a_learned_layer_is_evaluated_at_the_ways_it_has_room_for(
    trained_by, tmp_path, capsys
):
    run_dir = trained_by("anil")
    worlds.run("evaluate", run_dir, "--way", 2, "--name", "two-way")
    found = json.loads((run_dir / "two-way.json").read_text())
    assert found["intervals"]["after"]["accuracy"]["mean"] > 0
    capsys.readouterr()
    assert cli_lib.main(["evaluate", str(run_dir), "--way", "4"]) == 2
    assert capsys.readouterr().err


@pytest.mark.slow
def test_a_learned_layer_may_be_wider_in_training_than_in_the_test(world, tmp_path):
    options = {"algorithm": "anil", "train_way": 5, "way": 2}
    run_dir = tmp_path / "run"
    worlds.run(*world.train_args(run_dir, **options))
    results = json.loads((run_dir / "results.json").read_text())
    assert results["intervals"]["after"]["accuracy"]["mean"] > 0
