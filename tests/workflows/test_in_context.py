"""Tests of learning in context, from meta-training to `predict`."""

import itertools
import json

import numpy as np
import pytest

from metaflax import cli, models, workflows
from tests.workflows import worlds

ASKS, DOMAINS = ("ask0", "ask1"), worlds.TOPICS[:6]
SPLIT = {"train": DOMAINS[:2], "valid": DOMAINS[2:4], "test": DOMAINS[4:]}


def rows():
    """Turns whose answer is a word of the domain and one of the question."""
    rng = np.random.default_rng(0)
    return [
        {
            "text": [str(word) for word in rng.choice(worlds.FILLER, 2)] + [ask],
            "target": f"{domain} says {ask}",
            "domain": domain,
        }
        for domain in DOMAINS
        for ask in rng.choice(ASKS, 12).tolist()
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    texts = [" ".join(row["text"]) + row["target"] for row in rows()]
    return workflows.new_language_model(
        tmp_path_factory.mktemp("models") / "gpt",
        [*texts, "Dialogue: Next: \n"],
        family="gpt2",
        vocab_size=320,
        width=8,
        heads=2,
        layers=1,
        positions=192,
        dropout=0.0,
    )


@pytest.fixture(scope="module")
def settings(model, world, tmp_path_factory):
    """Arguments of `train` for a run directory."""
    folder = tmp_path_factory.mktemp("in context")
    data = worlds.write_jsonl(folder / "turns.jsonl", rows())
    split = folder / "split.json"
    split.write_text(json.dumps(SPLIT))

    def arguments(run_dir, **more):
        options = {
            "task": "dialogue",
            "model": model,
            "split_file": split,
            "domain": "domain",
            "split_by": "domain",
            "max_length": 32,
            "max_target_length": 16,
            "algorithm": "metaicl",
            "queries": 2,
            "shot": 3,
            "test_episodes": 2,
            "valid_episodes": 2,
            "way": None,
        }
        return world.train_args(run_dir, data=data, **options | more)

    return arguments


@pytest.fixture(scope="module")
def run_dir(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    worlds.run(*settings(path))
    return path


@pytest.mark.thorough
def test_training_compares_with_the_plain_model_in_context(run_dir):
    options = ("--baselines", "in_context", "--export-episodes", 1)
    worlds.run("evaluate", run_dir, "--name", "compared", *options)
    results = json.loads((run_dir / "compared.json").read_text())
    before, plain, after = (
        results["intervals"][method]["log_likelihood"]["mean"]
        for method in ("before", "in_context", "after")
    )
    assert before == pytest.approx(plain)  # The pretrained weights, both times.
    assert after != before


@pytest.mark.parametrize("keep", [(), ("--keep-context",)])
def test_adapt_keeps_the_support_set_and_predict_repeats_the_evaluation(
    run_dir, keep, tmp_path
):
    options = ("--name", "exported", "--export-episodes", 1)
    worlds.run("evaluate", run_dir, *options)
    folder, adapted = run_dir / "exported.episode1", tmp_path / "model"
    support, query = folder / "support.jsonl", folder / "query.jsonl"
    worlds.run("adapt", "--support", support, "--out", adapted, "--run", run_dir, *keep)
    assert worlds.read_jsonl(adapted / "support.jsonl") == worlds.read_jsonl(support)
    assert (adapted / "context.safetensors").exists() == bool(keep)
    out = tmp_path / "out.jsonl"
    worlds.run("predict", "--model", adapted, "--texts", query, "--out", out)
    answers = worlds.read_jsonl(out)
    expected = generated_by_hand(adapted, *map(worlds.read_jsonl, (support, query)))
    assert [answer["generated"] for answer in answers] == expected
    assert all(expected)


def generated_by_hand(model, support, query):
    """Texts that a model generates for prompts after all examples in full."""
    pretrained = models.load(model)
    tokenizer, params = pretrained.tokenizer(), pretrained.params
    prompts = ["Dialogue:\n" + "\n".join(row["text"]) + "\nNext:" for row in query]
    before = "".join(
        "Dialogue:\n" + "\n".join(row["text"]) + f"\nNext: {row['target']}\n"
        for row in support
    )
    generate = models.greedy(models.gpt(pretrained.config), max_new=16)
    end, found = tokenizer("\n")["input_ids"], []
    for prompt in prompts:
        ids = np.array([tokenizer(before + prompt)["input_ids"]])
        [new] = generate(params, models.Tokens(ids, None, np.ones_like(ids))).ids
        kept = itertools.takewhile(
            lambda token: token not in (*end, tokenizer.eos_token_id), new.tolist()
        )
        found.append(tokenizer.decode(list(kept), skip_special_tokens=True).strip())
    return found


@pytest.mark.thorough
def test_support_examples_that_do_not_fit_are_counted_or_refused_in_training(
    settings, tmp_path, capsys
):
    lengths = {"max_length": 64, "max_target_length": 64, "steps": 1, "eval_every": 1}
    worlds.run(*settings(tmp_path / "run", **lengths))
    assert "support examples of the first 100 episodes do not fit" in " ".join(
        capsys.readouterr().out.split()
    )
    refused = settings(tmp_path / "other", on_long="error", **lengths)
    assert cli.main(list(map(str, refused))) != 0
    assert "set on_long to 'truncate'" in " ".join(capsys.readouterr().err.split())


def test_support_examples_that_do_not_fit_are_counted(model, tmp_path, capsys):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows()[:12])
    options = {
        "task": "dialogue",
        "model": model,
        "algorithm": "in_context",
        "max_length": 64,
        "max_target_length": 32,
        "support": support,
        "out": tmp_path / "model",
    }
    worlds.run("adapt", *worlds.arguments(options))
    printed = " ".join(capsys.readouterr().out.split())
    assert "support examples are left out, since" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 128, "max_target_length": 64}, "conditions on no support"),
        ({"template": "translated"}, "unknown template 'translated'"),
        ({"algorithm": "fine_tuning", "keep_context": True}, "reads no context"),
    ],
)
def test_what_cannot_be_read_in_context_is_refused(
    model, options, message, tmp_path, capsys
):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows()[:4])
    usual = {"task": "dialogue", "model": model, "algorithm": "in_context"}
    paths = {"support": support, "out": tmp_path / "model"}
    flags = ["--keep-context"] if options.pop("keep_context", False) else []
    given = worlds.arguments({**usual, **options, **paths})
    assert cli.main(["adapt", *given, *flags]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
