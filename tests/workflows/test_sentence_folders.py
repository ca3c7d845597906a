"""Tests that the settings in a sentence-transformers folder are used."""

import json
import shutil
import types

import numpy as np
import pytest

import metaflax
from metaflax import cli, config, data, models, tasks, workflows
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.runs._load_model import load_model
from tests import marks
from tests.models.families import networks
from tests.workflows import worlds

TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
NORMALIZE = "sentence_transformers.models.Normalize"
TEXTS = ["topic00 filler00 filler01", "filler02"]


def sentence_folder(
    world,
    folder,
    *,
    pooling=None,
    normalize=True,
    max_length=16,
    network="",
    more=(),
):
    """Writes a BERT in the format of sentence-transformers."""
    shutil.copytree(world.model, folder / network)
    modules = [(network, TRANSFORMER), ("1_Pooling", POOLING), *more]
    modules += [("2_Normalize", NORMALIZE)] if normalize else []
    content = [
        {"idx": number, "name": str(number), "path": path, "type": kind}
        for number, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(content))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    settings = {"max_seq_length": max_length, "do_lower_case": False}
    (folder / network / "sentence_bert_config.json").write_text(json.dumps(settings))
    return folder


def features(model):
    tokenized = model.tokenize(TEXTS, config.DataConfig(max_length=8), tasks.TEXT)
    tokens = data.collate_texts(tokenized, np.arange(2), 2)
    return np.asarray(model.encoder.apply(model.pretrained.params, tokens, None))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode": "cls", "include_prompt": True}, "first"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("network", ["", "0_Transformer"])
def test_pooling_and_normalisation_are_those_of_the_folder(
    pooling, expected, normalize, network, world, tmp_path
):
    folder = sentence_folder(
        world, tmp_path / "st", pooling=pooling, normalize=normalize, network=network
    )
    found = load_model(config.ModelConfig(str(folder)))
    assert (found.pooling, found.standardize) == (expected, normalize)
    assert found.max_positions == 16
    same = config.ModelConfig(str(world.model), expected, normalize)
    np.testing.assert_array_equal(features(found), features(load_model(same)))


@pytest.mark.parametrize(
    "name", marks.quick(networks.FIRST, ["bert", "modernbert", "mpnet"])
)
def test_folders_of_every_family_load(name, tmp_path):
    sizes = {"vocab_size": len(worlds.VOCABULARY), "num_hidden_layers": 1}
    network = networks.make_config(name, networks.FIRST[name], **sizes)
    worlds.save_tokenizer(tmp_path / "words")
    params = networks.random_params(network)
    plain = tmp_path / "plain"
    models.save(plain, network, params, tokenizer_from=tmp_path / "words")
    pooling = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    world = types.SimpleNamespace(model=plain)
    folder = sentence_folder(world, tmp_path / "st", pooling=pooling, network="net")
    found = load_model(config.ModelConfig(str(folder)))
    assert found.family.model_type == name
    assert (found.pooling, found.standardize, found.max_positions) == (
        "first",
        True,
        16,
    )
    same = load_model(config.ModelConfig(str(plain), "first", True))
    np.testing.assert_array_equal(features(found), features(same))


def test_settings_take_precedence_over_the_folder(world, tmp_path):
    folder = sentence_folder(world, tmp_path / "st", normalize=True)
    found = load_model(config.ModelConfig(str(folder), "first", standardize=False))
    assert (found.pooling, found.standardize) == ("first", False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pooling": {"pooling_mode_max_tokens": True}}, "max_tokens"),
        ({"pooling": {"pooling_mode": ["mean", "max"]}}, "mean and max"),
        ({"more": [("2_Dense", "sentence_transformers.models.Dense")]}, "Dense"),
    ],
)
def test_what_is_not_done_is_refused_unless_a_pooling_is_named(
    changes, named, world, tmp_path
):
    folder = sentence_folder(world, tmp_path / "st", **changes)
    with pytest.raises(ValueError, match=rf"{named}.*--pooling"):
        load_model(config.ModelConfig(str(folder)))
    assert load_model(config.ModelConfig(str(folder), "mean")).pooling == "mean"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("modules.json", "{"),
        ("modules.json", "[1]"),
        ("modules.json", json.dumps([{"type": POOLING, "path": "../other"}])),
        ("1_Pooling/config.json", "[]"),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}'),
    ],
)
def test_damaged_files_are_named(name, content, world, tmp_path):
    folder = sentence_folder(world, tmp_path / "st")
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_model(config.ModelConfig(str(folder)))


def test_adapt_and_predict_take_the_max_length_of_the_folder(world, tmp_path, capsys):
    folder = sentence_folder(world, tmp_path / "st", max_length=10)
    rows = worlds.records(worlds.TOPICS[:2], count=2)
    rows[0]["text"] = " ".join([rows[0]["text"], *worlds.FILLER])
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("--support", support, "--model", folder, "--out", tmp_path / "out")
    worlds.run("adapt", *args)
    assert "1 truncated to 10 tokens" in capsys.readouterr().out
    shutil.rmtree(folder)  # The adapted directory needs it no more.
    [answer] = metaflax.load(tmp_path / "out")([" ".join(worlds.FILLER * 2)])
    assert answer["truncated"] == {"tokens_read": 10, "tokens_total": 18}
    assert without_run(str(world.model)).data.max_length == 128


def pairs(topics, count):
    rows = worlds.records(topics, count=count)
    return [{**row, "text_pair": f"filler0{n % 4}"} for n, row in enumerate(rows)]


def test_pairs_are_encoded_apart_where_the_folder_is_of_single_texts(world, tmp_path):
    folder = sentence_folder(world, tmp_path / "st")
    task = "pair_classification"
    towers = without_run(str(folder), task=task)
    assert towers.model.pair_encoding == "two_towers"
    assert towers.algorithm.head == "centred_prototypes"
    assert without_run(str(folder), task=task, head="ridge").algorithm.head == "ridge"
    # Fine-tuning of an output layer begins with its own default.
    assert without_run(str(folder), "fine_tuning", task).algorithm.head is None
    # One sequence where that is asked for, or the network was made for it.
    one = without_run(str(folder), task=task, pair_encoding="one_sequence")
    assert (one.model.pair_encoding, one.algorithm.head) == ("one_sequence", None)
    other = without_run(str(world.model), task=task)
    assert (other.model.pair_encoding, other.algorithm.head) == (None, None)
    assert without_run(str(folder)).model.pair_encoding is None

    # Means of parts of a text suit models with mean pooling.
    assert without_run(str(folder), task="relations").model.pair_encoding == "phrase"
    marked = without_run(str(folder), task="relations", pooling="entities")
    assert marked.model.pair_encoding is None
    first = {"pooling_mode_cls_token": True}
    other = sentence_folder(world, tmp_path / "first", pooling=first)
    assert without_run(str(other), task="relations").model.pair_encoding is None
    assert without_run(str(other), task=task).model.pair_encoding == "two_towers"

    rows = pairs(worlds.TOPICS[:3], 2)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("--support", support, "--model", folder, "--out", tmp_path / "out")
    worlds.run("adapt", *args, "--task", task)
    assert models.load(tmp_path / "out").pair_encoding == "two_towers"
    plain = config.Config(
        model=config.ModelConfig(name=str(folder)),
        data=config.DataConfig(task=task, max_length=16),
        algorithm=config.AlgorithmConfig(name="frozen"),
    )
    workflows.adapt(support, tmp_path / "plain", config=plain)
    assert models.load(tmp_path / "plain").pair_encoding == "two_towers"
    classifier = metaflax.FewShotClassifier(folder, pair_encoding="two_towers")
    texts = [tasks.Pair(row["text"], row["text_pair"]) for row in rows]
    classifier.fit(texts, [row["label"] for row in rows])
    records = metaflax.load(tmp_path / "out")(texts)
    expected = [[r["probabilities"][c] for c in classifier.classes_] for r in records]
    np.testing.assert_allclose(classifier.predict_proba(texts), expected, atol=1e-4)


def test_numbers_of_pairs_take_two_towers_where_all_inputs_are_pairs(world, tmp_path):
    folder = sentence_folder(world, tmp_path / "st")
    scored = [{**r, "score": n % 3} for n, r in enumerate(pairs(worlds.TOPICS[:2], 3))]
    single = [{"text": row["text"], "score": row["score"]} for row in scored]

    def encoding(name, rows, model=folder):
        support = worlds.write_jsonl(tmp_path / f"{name}.jsonl", rows)
        args = ("--support", support, "--model", model, "--out", tmp_path / name)
        worlds.run("adapt", *args, "--task", "regression", "--label", "score")
        return models.load(tmp_path / name).pair_encoding

    assert encoding("pairs", scored) == "two_towers"
    assert encoding("mixed", [*scored[1:], single[0]]) == "one_sequence"
    assert encoding("single", single) == "one_sequence"
    assert encoding("plain", scored, world.model) == "one_sequence"


@pytest.mark.parametrize("task", ["pair_classification", "regression"])
def test_a_run_records_how_its_pairs_are_encoded(task, world, tmp_path):
    folder = sentence_folder(world, tmp_path / "st", max_length=worlds.POSITIONS)
    rows = [
        {**row, "domain": row["label"], "score": number % 3}
        for number, row in enumerate(pairs(worlds.TOPICS, 8))
    ]
    file = worlds.write_jsonl(tmp_path / "pairs.jsonl", rows)
    options = {"data": file, "task": task, "steps": 1, "eval_every": 1}
    if task == "regression":
        options |= {"algorithm": "ridge", "label": "score"}
        options |= {"domain": "domain", "split_by": "domain"}
    args = world.train_args(tmp_path / "run", model=folder, **options)
    worlds.run(*args)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["model"]["pair_encoding"] == "two_towers"
    worlds.run(*args)  # The same command is that of the same run.


def test_training_beyond_the_length_of_the_folder_is_refused(world, tmp_path, capsys):
    folder = sentence_folder(world, tmp_path / "st", max_length=10)
    args = world.train_args(tmp_path / "run", model=folder, max_length=20)
    assert cli.main([str(arg) for arg in args]) == 2
    assert "max_length=20 does not fit a model of 10" in capsys.readouterr().err


def test_tokenizers_with_fewer_positions_than_the_network_bound_predictions(
    world, adapted, tmp_path
):
    model = tmp_path / "model"
    shutil.copytree(adapted, model)
    path = model / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"model_max_length": 12}
    path.write_text(json.dumps(settings))
    [answer] = workflows.Predictor(model)([" ".join(worlds.FILLER * 3)])
    assert answer["truncated"]["tokens_read"] == 12


def test_the_default_model_is_pooled_as_before(minilm):
    found = sentence_embedding(minilm)
    assert (found.pooling, found.normalize, found.max_length) == ("mean", True, 256)
