"""Tests of all pair encodings, from training to prediction."""

import json

import numpy as np
import pytest

from metaflax import cli, config, models, tasks, workflows
from metaflax.config._mixture import run_of
from tests import comparison
from tests.workflows import worlds

KINDS = {
    "pair_classification": {},
    "regression": {"algorithm": "ridge", "label": "score"},
}
WIDTH = 32


def rows(topics=worlds.TOPICS, count=8):
    """Pairs of a topic, whose word is in both texts or only in the first."""
    rng, found = np.random.default_rng(0), []
    for topic in topics:
        for number in range(count):
            other = topic if number % 2 else "filler00"
            [first], [second] = (
                worlds.texts([word], 1, rng, longest=4) for word in (topic, other)
            )
            row = {"text": first, "text_pair": second, "label": topic}
            score = number % 2 + rng.normal() / 9
            found.append({**row, "domain": topic, "score": score})
    return found


@pytest.mark.parametrize(
    "kind",
    ["pair_classification", pytest.param("regression", marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize(
    ("encoding", "width"), [("two_towers", 2), ("both", 3), ("phrase", 2)]
)
def test_an_adapted_directory_encodes_pairs_as_it_was_adapted(
    kind, encoding, width, world, tmp_path, capsys
):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows(worlds.TOPICS[:2], 4))
    head = {"regression": "ridge_regression"}.get(kind, "prototypes")
    column = KINDS[kind].get("label", "label")
    options = ("--task", kind, "--pair-encoding", encoding, "--head", head)
    out = tmp_path / "out"
    worlds.run(
        *("adapt", "--support", support, "--out", out, "--model", world.model),
        *(*options, "--label", column),
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "takes features of texts that are encoded apart" in printed

    # The files name Hugging Face's encoder; metaflax adds the output layer.
    content = json.loads((out / "config.json").read_text())
    assert content["architectures"] == ["BertModel"]
    loaded, predictor = models.load(out), workflows.Predictor(out)
    assert loaded.pair_encoding == encoding
    assert loaded.head["kernel"].shape[0] == width * WIDTH

    # One longer than the model takes is cut, and says so.
    texts = [("topic00 filler01", "topic00"), ("topic00", "filler02 " * 99)]
    pairs = [tasks.PAIR.read(tasks.Fields(_row(*each), "")) for each in texts]
    records = predictor(pairs)
    assert [record["truncated"] is None for record in records] == [True, False]

    # The outputs are those of each text encoded by itself.
    encoder = models.encoder(loaded.config, standardize=True)

    def encoded(*columns, **more):
        how = {"return_tensors": "np", "return_token_type_ids": True}
        tokens = predictor.tokenizer(*columns, **how)
        parts = (tokens[n] for n in ("input_ids", "token_type_ids", "attention_mask"))
        read = models.Tokens(*parts, **more)
        return np.asarray(encoder.apply(loaded.params, read))[0]

    first, second = texts[0]
    u, v = (x / np.linalg.norm(x) for x in map(encoded, ([first], [second])))
    features = comparison.compared(u, v)
    if encoding == "both":
        features = np.concatenate([encoded([first], [second]), features])
    if encoding == "phrase":
        words = predictor.tokenizer([first], return_offsets_mapping=True)
        inside = [0 <= a < b <= len(second) for a, b in words["offset_mapping"][0]]
        within = encoded([first], pooled=np.array([inside], np.int32))
        features = np.concatenate([within, encoded([second])])
    outputs = features @ np.asarray(loaded.head["kernel"]) + loaded.head["bias"]
    if kind == "regression":
        assert records[0]["score"] == pytest.approx(float(outputs[0]), abs=1e-4)
    else:
        odds = np.exp(outputs - outputs.max())
        found = [records[0]["probabilities"][name] for name in loaded.labels]
        np.testing.assert_allclose(found, odds / odds.sum(), atol=1e-4)


def _row(first, second):
    return {"text": first, "text_pair": second}


def test_an_adapted_directory_encodes_entities_and_their_names(tmp_path, capsys):
    vocabulary = (*worlds.VOCABULARY, *worlds.MARKERS)
    bert = worlds.save_bert(tmp_path / "bert", vocabulary=vocabulary)
    rows = [
        {"text": f"topic00 filler01 {word}", "head": [8, 16], "tail": [17, 24]}
        for word in ("topic01", "topic02")
    ]
    labelled = [{**row, "label": name} for row, name in zip(rows, "ab", strict=True)]
    support, out = worlds.write_jsonl(tmp_path / "s.jsonl", labelled), tmp_path / "out"
    worlds.run(
        *("adapt", "--support", support, "--out", out, "--model", bert),
        *("--task", "relations", "--pair-encoding", "phrase"),
    )
    loaded, predictor = models.load(out), workflows.Predictor(out)
    assert loaded.pair_encoding == "phrase"
    assert loaded.head["kernel"].shape[0] == 8 * WIDTH
    mentions = [tasks.MENTION.read(tasks.Fields(row, "")) for row in rows]
    features = predictor.features(predictor.tokenize(mentions))
    kernel, bias = (np.asarray(loaded.head[name]) for name in ("kernel", "bias"))
    outputs = features @ kernel + bias[None]
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    records = predictor(mentions)
    found = [list(record["probabilities"].values()) for record in records]
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-4)
    assert [record["label"] for record in records] == ["a", "b"]

    capsys.readouterr()
    args = ("--model", out, "--out", tmp_path / "graph", "--format", "stablehlo")
    assert cli.main(["export", *map(str, args)]) == 2
    assert "'mention with names'" in capsys.readouterr().err
    args = ("--support", support, "--out", tmp_path / "b", "--model", bert)
    more = ("--task", "relations", "--pair-encoding", "both")
    assert cli.main(["adapt", *map(str, args), *more]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'mention' are encoded as one_sequence or phrase" in said


def test_single_texts_are_refused_with_a_sentence(world, tmp_path, capsys):
    args = world.train_args(tmp_path / "run", pair_encoding="two_towers")
    assert cli.main([str(arg) for arg in args]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "pair_encoding is 'two_towers', and inputs of the form 'text'" in said


def test_a_member_of_a_mixture_has_an_encoding_of_its_own():
    members = {
        "towers": config.TaskMember(
            config.DataConfig(task="pair_classification"), pair_encoding="two_towers"
        ),
        "intents": config.TaskMember(config.DataConfig()),
    }
    mixture = config.MixtureConfig(members=members)
    forms = [config.build_task(run_of(mixture, name)).form.name for name in members]
    assert forms == ["pair in two towers", "text"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["two_towers", "both", "phrase"])
@pytest.mark.parametrize("kind", KINDS)
def test_adapt_and_predict_repeat_the_score_of_an_exported_episode(
    kind, encoding, world, tmp_path
):
    data = worlds.write_jsonl(tmp_path / "pairs.jsonl", rows())
    options = {"task": kind, "pair_encoding": encoding, "steps": 1, "eval_every": 1}
    sizes = {"tasks_per_step": 1, "valid_episodes": 2, "test_episodes": 2}
    options |= {**sizes, "batch_episodes": 2, "shot": 3, "queries": 2}
    options |= {"max_length": 24, **KINDS[kind]}
    if kind == "regression":
        options |= {"domain": "domain", "split_by": "domain"}
    run_dir = tmp_path / "run"
    worlds.run(*world.train_args(run_dir, data=data, **options))
    worlds.run("evaluate", run_dir, "--name", "exported", "--export-episodes", 1)
    folder = run_dir / "exported.episode1"
    scores = worlds.read_jsonl(run_dir / "exported.episodes.jsonl")[1]["after"]
    model, query, out = (folder / n for n in ("model", "query.jsonl", "out.jsonl"))
    support = folder / "support.jsonl"
    worlds.run("adapt", "--support", support, "--out", model, "--run", run_dir)
    worlds.run("predict", "--model", model, "--texts", query, "--out", out)
    pairs = list(zip(worlds.read_jsonl(out), worlds.read_jsonl(query), strict=True))
    if kind == "regression":
        found = np.mean([(a["score"] - q["score"]) ** 2 for a, q in pairs])
        assert found == pytest.approx(scores["mse"], rel=1e-3)
    else:
        found = np.mean([a["label"] == q["label"] for a, q in pairs])
        assert found == pytest.approx(scores["accuracy"])
