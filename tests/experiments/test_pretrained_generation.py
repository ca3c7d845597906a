"""Tests that texts of a pretrained decoder are compared with torch's, in miniature."""

import json

import numpy as np
import pytest

from metaflax import workflows
from tests.experiments import scripts

pytestmark = scripts.marks


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("torch")
    return scripts.load("generation", "pretrained")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    texts = [f"text number {i}" + " and more" * (i % 3) for i in range(9)]
    rows = [json.dumps({"text": text}) for text in texts]
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n")
    model = workflows.new_language_model(
        folder / "llama",
        texts,
        family="llama",
        vocab_size=270,
        width=8,
        heads=2,
        layers=1,
        positions=24,
        dropout=0.0,
    )
    texts = ["--texts", str(folder / "texts.jsonl"), "--model", str(model)]
    return [*texts, "--length", "8", "--new", "4", "--batch", "2"]


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pretrained.py", *arguments])
    return script.main()


def test_both_programs_give_equal_texts(script, arguments, monkeypatch, capsys):
    assert run(script, monkeypatch, "check", "--prompts", "4", *arguments) == 0
    assert "4 of 4 texts of 4 tokens are equal" in capsys.readouterr().out


def test_a_difference_is_counted(script, arguments, monkeypatch, capsys):
    def shifted(*args, **kwargs):
        generate = script.in_torch(*args, **kwargs)
        return lambda ids, mask: (
            generate(ids, mask) + (np.arange(len(ids)) == 1)[:, None]
        )

    monkeypatch.setitem(script.PROGRAMS, "torch", shifted)
    assert run(script, monkeypatch, "check", "--prompts", "4", *arguments) == 1
    assert "2 of 4 texts of 4 tokens are equal" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["metaflax", "torch"])
def test_either_program_is_timed(program, script, arguments, monkeypatch, capsys):
    assert run(script, monkeypatch, "time", "--program", program, *arguments) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["gnorm"] == 2 * 4
    assert row["tokens_per_second"] > 0
