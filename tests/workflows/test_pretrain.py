"""Tests that pretraining learns a made-up language, and of its written model.

Consecutive lines are about one of six topics with four words each: the context of a
masked word narrows it down to four of 24 words of the same frequency.
"""

import json
import shutil

import chex
import numpy as np
import pytest

from metaflax import cli, models
from metaflax.models.families._registry import load_masked_lm
from tests.workflows import worlds

pytestmark = pytest.mark.thorough

THINGS = tuple(tuple(f"thing{n}{letter}" for letter in "abcd") for n in range(6))
VOCABULARY = (*worlds.SPECIAL, *(word for words in THINGS for word in words))
OPTIONS = {
    "fresh": True,
    "num_layers": 1,
    "hidden_size": 32,
    "num_heads": 2,
    "intermediate_size": 64,
    "length": 24,
    "mask_rate": 0.2,
    "held_out": 0.1,
    "rows_per_step": 32,
    "learning_rate": 1e-2,
    "dropout": False,
    "valid_rows": 40,
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    lines = [
        " ".join(rng.choice(THINGS[number], 6))
        for number in rng.integers(0, len(THINGS), 60)
        for _ in range(10)
    ]
    text = folder / "raw.txt"
    text.write_text("\n".join(lines))
    worlds.save_tokenizer(folder / "tokenizer", VOCABULARY)
    return text, folder / "tokenizer"


def args(raw, run_dir, **options):
    text, model = raw
    given = {"text": text, "model": model, "run_dir": run_dir, **OPTIONS, **options}
    return ["pretrain", *worlds.arguments(given)]


def results(run_dir):
    return json.loads((run_dir / "results.json").read_text())


@pytest.fixture(scope="module")
def pretrained(raw, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("pretrained") / "run"
    worlds.run(*args(raw, run_dir, steps=200, eval_every=100))
    return run_dir


def test_perplexity_of_held_out_text_falls_below_that_of_words_alone(pretrained):
    found = results(pretrained)["perplexity"]
    assert found["before"] > 20
    assert found["after"] < 6
    log = worlds.read_jsonl(pretrained / "log.jsonl")
    valid = [record["valid_perplexity"] for record in log if "valid_accuracy" in record]
    assert valid[0] == pytest.approx(found["before"])
    assert min(valid) == pytest.approx(found["after"])


def test_the_saved_model_continues_at_the_validated_loss(pretrained, raw, tmp_path):
    worlds.run(*args((raw[0], pretrained / "model"), tmp_path / "run", fresh=False,
                     steps=1, eval_every=1))  # fmt: skip
    before = results(tmp_path / "run")["perplexity"]["before"]
    assert before == pytest.approx(results(pretrained)["perplexity"]["after"], rel=1e-4)


def test_its_encoder_is_meta_trained_like_any_other(pretrained):
    encoder = models.load(pretrained / "model")
    whole = load_masked_lm(pretrained / "model")
    chex.assert_trees_all_equal(encoder.params, whole.params["encoder"])
    assert models.pretrained.tokenizer(pretrained / "model").mask_token == "[MASK]"


def test_transformers_predicts_the_same_words(pretrained):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    fill = transformers.pipeline("fill-mask", model=str(pretrained / "model"))
    for words in THINGS:
        said = fill(" ".join([*words, "[MASK]", *words]))[0]
        assert said["token_str"] in words


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(raw, tmp_path, capsys):
    options = {"steps": 20, "eval_every": 10, "rows_per_step": 4, "dropout": True,
               "rows_at_once": 2}  # fmt: skip
    run_dir = tmp_path / "run"
    worlds.run(*args(raw, run_dir, **options))
    expected = results(run_dir)
    whole = load_masked_lm(run_dir / "model").params
    for name in ("results.json", "selected.json"):
        (run_dir / name).unlink()
    shutil.rmtree(run_dir / "checkpoints" / "20")
    shutil.rmtree(run_dir / "model")
    worlds.run(*args(raw, run_dir, **options))
    assert "resuming from step 10" in capsys.readouterr().out
    again = results(run_dir)
    assert again | {"seconds": 0} == expected | {"seconds": 0}
    resumed = load_masked_lm(run_dir / "model").params
    chex.assert_trees_all_equal(resumed, whole)


def test_a_loss_that_is_not_finite_ends_the_run(raw, tmp_path, capsys):
    rates = {"learning_rate": 1e38, "warmup": 0, "optimizer": "sgd"}
    given = args(raw, tmp_path / "run", steps=4, eval_every=4, **rates)
    assert cli.main([str(arg) for arg in given]) == 2
    assert "Lower learning_rate, or raise warmup" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 49, "fresh": False}, "length is 49, and the model has 48 posit"),
        ({"text": "none.txt"}, "no such file"),
        ({"mask_rate": 0.0}, "mask_rate is 0.0; give a share between 0 and 1"),
        ({"rows_at_once": 5}, "rows_at_once is 5; give a divisor of rows_per_step=32"),
        ({"hidden_size": 33}, "hidden_size is 33; give a multiple of num_heads=2"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_what_makes_no_run_is_refused_before_anything_is_compiled(
    options, message, raw, tiny_bert, tmp_path, capsys, monkeypatch
):
    def fails(*args):
        pytest.fail("compiled")

    monkeypatch.setattr("jax.stages.Lowered.compile", fails)
    model = {} if options.get("fresh", True) else {"model": tiny_bert}
    given = args(raw, tmp_path / "run", **(model | options))
    assert cli.main([str(arg) for arg in given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_text_too_short_to_hold_any_out_is_refused(raw, tmp_path, capsys):
    short = tmp_path / "short.txt"
    short.write_text("one text\n")
    given = args((short, raw[1]), tmp_path / "run")
    assert cli.main([str(arg) for arg in given]) == 2
    assert "holds 1 texts, of which 1 would be held out" in capsys.readouterr().err
