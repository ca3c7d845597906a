"""Tests of generative models that choose classes and answers, from `train` on."""

import json

import numpy as np
import pytest

import metaflax
from metaflax import cli, config, tasks, workflows
from tests.workflows import worlds

SOURCES = ("source0", "source1", "source2")
SPLIT = {"train": SOURCES[:1], "valid": SOURCES[1:2], "test": SOURCES[2:]}


def questions():
    """Questions with two or three choices, each with a twin of the opposite answer."""
    rng, found = np.random.default_rng(0), []
    for source in SOURCES:
        for number in range(8):
            choices = rng.permutation(worlds.FILLER)[: 2 + number % 2].tolist()
            for label in (0, 1):
                text = f"{source} {number} {label}"
                row = {"text": text, "choices": choices, "domain": source}
                found.append({**row, "label": label})
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    texts = [f"{row['text']} {' '.join(row['choices'])}" for row in questions()]
    texts += [row["text"] for row in worlds.records(count=2)]
    return workflows.new_language_model(
        tmp_path_factory.mktemp("models") / "gpt",
        [*texts, "Question: Answer: Text: Label: \n"],
        family="gpt2",
        vocab_size=330,
        width=8,
        heads=2,
        layers=1,
        positions=256,
        dropout=0.0,
    )


CASES = {
    "multiple_choice": {
        "domain": "domain",
        "split_by": "domain",
        "way": None,
        "calibrate": True,
    },
    "classification": {"template": "classification_channel", "algorithm": "metaicl"},
}


@pytest.mark.parametrize("task", CASES)
def test_a_run_learns_evaluates_adapts_and_predicts(task, model, world, tmp_path):
    run, folder = tmp_path / "run", tmp_path / "run" / "exported.episode0"
    data, split = world.data, world.split
    if task == "multiple_choice":
        data = worlds.write_jsonl(tmp_path / "questions.jsonl", questions())
        split = tmp_path / "split.json"
        split.write_text(json.dumps(SPLIT))
    options = {
        "task": task,
        "model": model,
        "split_file": split,
        "max_length": 40,
        "max_target_length": 16,
        "algorithm": "metaicl",
        "shot": 2,
        "queries": 2,
        "test_episodes": 2,
        "valid_episodes": 2,
        "steps": 1,
        "eval_every": 1,
    }
    worlds.run(*world.train_args(run, data=data, **options | CASES[task]))
    more = ("--name", "exported", "--export-episodes", 0, "--baselines", "in_context")
    worlds.run("evaluate", run, *more)
    scores = worlds.read_jsonl(run / "exported.episodes.jsonl")[0]
    support, query = folder / "support.jsonl", folder / "query.jsonl"
    out, adapted = tmp_path / "out.jsonl", tmp_path / "model"
    worlds.run("adapt", "--support", support, "--out", adapted, "--run", run)
    worlds.run("predict", "--model", adapted, "--texts", query, "--out", out)
    answers, gold = worlds.read_jsonl(out), worlds.read_jsonl(query)
    right = [a["label"] == g["label"] for a, g in zip(answers, gold, strict=True)]
    assert np.mean(right) == pytest.approx(scores["after"]["accuracy"])
    for answer, row in zip(answers, gold, strict=True):
        shares = answer["probabilities"]
        if task == "multiple_choice":
            assert len(shares) == len(row["choices"])
            assert answer["choice"] == row["choices"][answer["label"]]
        else:
            assert set(shares) == {r["label"] for r in gold}
            shares = list(shares.values())
        assert sum(shares) == pytest.approx(1, abs=1e-4)


ENCODERS = [
    {"algorithm": "protonet"},
    {"algorithm": "fomaml", "pair_encoding": "two_towers", "num_steps": 1},
]


@pytest.mark.parametrize(
    "settings", [ENCODERS[0], pytest.param(ENCODERS[1], marks=pytest.mark.slow)]
)
def test_an_encoder_learns_evaluates_adapts_and_predicts(settings, world, tmp_path):
    run, adapted = tmp_path / "run", tmp_path / "model"
    data = worlds.write_jsonl(tmp_path / "questions.jsonl", questions())
    split = tmp_path / "split.json"
    split.write_text(json.dumps(SPLIT))
    options = {
        "task": "multiple_choice",
        "split_file": split,
        "max_length": 16,
        "domain": "domain",
        "split_by": "domain",
        "way": None,
        "shot": 2,
        "queries": 2,
        "test_episodes": 2,
        "valid_episodes": 2,
        "steps": 1,
        "eval_every": 1,
    }
    worlds.run(*world.train_args(run, data=data, **options | settings))
    assert json.loads((run / "config.json").read_text())["data"]["template"] == "none"
    more = ("--name", "exported", "--export-episodes", 0, "--baselines", "frozen")
    worlds.run("evaluate", run, *more)
    scores = worlds.read_jsonl(run / "exported.episodes.jsonl")[0]
    folder, out = run / "exported.episode0", tmp_path / "out.jsonl"
    paths = ("--support", folder / "support.jsonl", "--out", adapted)
    worlds.run("adapt", *paths, "--run", run)
    query = folder / "query.jsonl"
    worlds.run("predict", "--model", adapted, "--texts", query, "--out", out)
    answers, gold = worlds.read_jsonl(out), worlds.read_jsonl(query)
    pairs = list(zip(answers, gold, strict=True))
    right = [answer["label"] == row["label"] for answer, row in pairs]
    assert np.mean(right) == pytest.approx(scores["after"]["accuracy"])
    for answer, row in pairs:
        assert answer["choice"] == row["choices"][answer["label"]]
        shares = answer["probabilities"]
        assert len(shares) == len(row["choices"])
        assert np.argmax(shares) == answer["label"]
        assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_the_kind_of_the_model_decides_whether_a_template_writes(model, world):
    def task_of(name):
        data = config.DataConfig(task="multiple_choice")
        model = config.ModelConfig(name=str(name))
        algorithm = config.AlgorithmConfig(name="fomaml")
        return config.build_task(config.Config(model, data, algorithm=algorithm))

    assert task_of(model).is_generative
    assert task_of("smollm2").is_generative
    assert not task_of(world.model).is_generative
    assert not task_of("minilm").is_generative


def test_hugging_face_chooses_as_an_adapted_encoder_does(world, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    rows = questions()[:6]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    given = {"task": "multiple_choice", "algorithm": "frozen", "model": world.model}
    paths = {"support": support, "out": tmp_path / "model", "max_length": 16}
    worlds.run("adapt", *worlds.arguments({**given, **paths}))
    predictor = workflows.Predictor(tmp_path / "model")
    texts = [predictor.form.read(tasks.Fields(row, "a")) for row in rows]
    predictions = predictor(texts)
    network, info = transformers.AutoModelForMultipleChoice.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not any(info.values()), info
    for row, prediction in zip(rows, predictions, strict=True):
        choices = row["choices"]
        encoded = predictor.tokenizer(
            [row["text"]] * len(choices),
            choices,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=True,
        )
        inputs = {name: value[None] for name, value in encoded.items()}
        with torch.no_grad():
            logits = network.eval()(**inputs).logits[0]
        shares = torch.softmax(logits, dim=-1).numpy()
        np.testing.assert_allclose(prediction["probabilities"], shares, atol=2e-5)


def test_rows_without_the_right_choice_are_refused(model, tmp_path, capsys):
    row = {"text": "which", "choices": ["a", "b"], "label": "c"}
    support = worlds.write_jsonl(tmp_path / "support.jsonl", [row, row])
    given = {"task": "multiple_choice", "algorithm": "in_context", "model": model}
    paths = {"support": support, "out": tmp_path / "model"}
    assert cli.main(["adapt", *worlds.arguments({**given, **paths})]) != 0
    message = " ".join(capsys.readouterr().err.split())
    assert "support.jsonl:1: 'label' is 'c', and the row has 2 choices" in message


def test_adapt_calibrates_by_a_text_without_content(model, world, tmp_path):
    rows = worlds.records(worlds.TOPICS[:2], 2)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    given = {"algorithm": "in_context", "model": model, "support": support}
    shares = {}
    for name, flags in {"plain": [], "even": ["--calibrate"]}.items():
        out = tmp_path / name
        paths = worlds.arguments({**given, "out": out, "max_length": 40})
        worlds.run("adapt", *paths, *flags)
        predictions = metaflax.load(out)(["filler01 topic00", "N/A"])
        shares[name] = np.array([[*p["probabilities"].values()] for p in predictions])
    text, without_content = shares["plain"]
    expected = text / without_content / np.sum(text / without_content)
    np.testing.assert_allclose(shares["even"][0], expected, atol=1e-4)
    np.testing.assert_allclose(shares["even"][1], [0.5, 0.5], atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "frozen", "model": "minilm"},
        {"algorithm": "in_context", "model": "smollm2", "task": "dialogue"},
    ],
)
def test_what_gives_no_likelihoods_is_not_calibrated(options, tmp_path, capsys):
    paths = {"support": tmp_path / "support.jsonl", "out": tmp_path / "model"}
    given = worlds.arguments({**options, **paths})
    assert cli.main(["adapt", *given, "--calibrate"]) != 0
    message = " ".join(capsys.readouterr().err.split())
    assert "calibrate divides the likelihoods" in message
