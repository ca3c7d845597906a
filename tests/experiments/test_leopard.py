"""Tests that published training sets are scored, given the path of their folder."""

import json
import sys
import typing
from pathlib import Path

import pytest

from metaflax import config as config_lib
from metaflax import recipes
from metaflax.config import _model_settings
from metaflax.workflows.runs import _licences
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


def save_task(folder, topics, second):
    """A task in LEOPARD's format, of two training sets of one shot and one of two."""
    folder.mkdir()

    def row(topic, **more):
        texts = {"text": f"{topic} filler01"}
        return {
            **texts,
            **({} if second is None else {"text_pair": second.format(topic)}),
            "label": topic,
        } | more

    sets = [("1-0", 1), ("1-1", 1), ("2-0", 2)]
    train = [
        row(topic, id=f"{folder.name}-{name}-{number}{topic}")
        for name, shot in sets
        for topic in topics
        for number in range(shot)
    ]
    worlds.write_jsonl(folder / "train_episodes.jsonl", train)
    queries = [row(topic, id=f"eval{n}") for n, topic in enumerate(topics * 2)]
    worlds.write_jsonl(folder / "eval.jsonl", queries)
    return folder


@pytest.mark.parametrize(
    ("second", "num_topics", "options", "names"),
    [
        pytest.param(None, 3, (), ["task-prototypes"], marks=pytest.mark.thorough),
        ("{}", 2, (), ["task-phrase-prototypes"]),
        ("filler02 {}", 2, (), ["task-two_towers-centred_prototypes"]),
        pytest.param(
            *("{}", 2, ("--pair-encodings", "one_sequence", "both")),
            ["task-both-prototypes", "task-one_sequence-prototypes"],
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_any_folder_in_the_format_is_scored(
    second, num_topics, options, names, tmp_path, monkeypatch, capsys
):
    script = scripts.load("leopard")
    folder = save_task(tmp_path / "task", worlds.TOPICS[:num_topics], second)
    out = tmp_path / "out"
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        named = ["--model", str(bert), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["run.py", str(folder), *named, *options])
        assert script.main() == 0
        first = capsys.readouterr().out
        monkeypatch.setattr(sys, "argv", [*sys.argv, "--start", str(bert)])
        assert script.main() == 0  # Nothing is computed again.
    again, gains = capsys.readouterr().out.split(f"The same less {bert}")
    assert again.strip() == first.strip()
    # The same encoder gains nothing; one set has no interval.
    assert "| +0.0 ± 0.0 | +0.0 |" in gains
    files = {path.stem: json.loads(path.read_text()) for path in out.rglob("*.json")}
    assert sorted(files) == names
    for results in files.values():
        # The evaluation texts are those of the training sets.
        assert results["accuracy"] == {"1": [1.0, 1.0], "2": [1.0]}
    assert "| 100.0 ± 0.0 | 100.0 |" in first


def test_every_pair_encoding_can_be_named():
    known = typing.get_args(_model_settings.PairEncoding)
    assert sorted(scripts.load("leopard").PAIR_ENCODINGS) == sorted(known)


def run(script, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, args)])
    return script.main()


def test_scores_of_other_data_are_not_taken_for_those_of_a_folder(
    tmp_path, monkeypatch, capsys
):
    script = scripts.load("leopard")
    first = save_task(tmp_path / "task", worlds.TOPICS[:2], None)
    (tmp_path / "other").mkdir()
    second = save_task(tmp_path / "other" / "task", worlds.TOPICS[2:5], None)
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        named = ["--model", bert, "--out", tmp_path / "out"]
        options = ["--pair-encodings", "phrase"]
        assert run(script, monkeypatch, first, *named, *options) == 0
        notes = capsys.readouterr().err
        assert "holds single texts, which have no pair encoding" in notes
        assert "4 of 4 evaluation texts are also in" in notes
        assert run(script, monkeypatch, second, *named) == 2
        assert "was computed from other data;" in capsys.readouterr().err
        assert run(script, monkeypatch, first, second, *named) == 2
        assert "2 folders are called task, which" in capsys.readouterr().err
        # A relative path has the name of its folder.
        monkeypatch.chdir(first)
        assert run(script, monkeypatch, ".", *named) == 0
        assert "| task |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text_pair": None}, r"eval.jsonl:1: no 'text_pair', and other rows have one"),
        ({"text_pair": 1990}, r"eval.jsonl:1: 'text_pair' holds 1990 where a text is"),
    ],
)
def test_rows_of_pairs_and_of_single_texts_are_one_sentence(
    row, problem, tmp_path, monkeypatch, capsys
):
    script = scripts.load("leopard")
    folder = save_task(tmp_path / "task", worlds.TOPICS[:2], "{}")
    first, *others = worlds.read_jsonl(folder / "eval.jsonl")
    worlds.write_jsonl(folder / "eval.jsonl", [first | row, *others])
    assert run(script, monkeypatch, folder) == 2
    assert problem in capsys.readouterr().err


def test_rows_that_all_lack_a_second_text_are_single_texts(tmp_path):
    script = scripts.load("leopard")
    folder = save_task(tmp_path / "task", worlds.TOPICS[:2], None)
    for name in script.FILES:
        rows = [r | {"text_pair": None} for r in worlds.read_jsonl(folder / name)]
        worlds.write_jsonl(folder / name, rows)
        (folder / name).write_text((folder / name).read_text() + "\n")
    assert script.pair_encoding(folder) == ""


@pytest.mark.parametrize("name", ["nowhere", "README.md"])
def test_what_is_no_folder_is_one_sentence(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").touch()
    script = scripts.load("leopard")
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / name)])
    assert script.main() == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"leopard: there is no {tmp_path / name}")
    assert "name folders that hold train_episodes.jsonl" in printed


def save_sources(folder, tested):
    """A row of each source, and a task of LEOPARD that tests on one text."""
    pair = {"text": "One two three four five", "text_pair": "Six.", "domain": "all"}
    tags = ["B-PER", "I-PER", "B-PER", "O", "B-ORG", "I-PER"]
    words = {"id": "0", "tokens": list("abcdef"), "tags": tags, "domain": "all"}
    for name, row in {
        "amazon_sentiment/examples": pair,
        "nli/all": {**pair, "label": "neutral"},
        "education/examples": pair,
        "ner_extra/all": words,
        "stsb/all": {**pair, "score": 2.5, "source": "news"},
        "clinc150/examples": {"text": "What?", "label": "ask"},
        "unlabelled_sentences/sentences": {"text": "It is."},
        "leopard/task/eval": {"text": tested},
    }.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        worlds.write_jsonl(path, [row])
    folds = {"01": {"train": ["ask"], "valid": [], "test": []}}
    (folder / "clinc150" / "folds.json").write_text(json.dumps(folds))
    return folder


@pytest.fixture
def prepare(monkeypatch):
    script = scripts.load("leopard", "prepare")
    scored = [("films", "1", score, "Fine") for score in (-3.0, -2.0, 0.4, 0.6, 2.0)]
    monkeypatch.setattr(script._embedded, "scored_rows", lambda: scored)
    return script


def test_what_the_mixture_learns_from_is_written_with_its_domains(prepare, tmp_path):
    data = save_sources(tmp_path / "data", "Nothing of what it learns from")
    out = tmp_path / "out"
    counts = prepare.prepare(data, out)
    config = recipes.general(out)
    assert set(config.members) == set(counts)
    config_lib.check_mixture(config)
    rows = {
        name: worlds.read_jsonl(Path(member.data.path))
        for name, member in config.members.items()
    }
    assert {name: len(found) for name, found in rows.items()} == counts
    for name, member in config.members.items():
        assert _licences.stated_licence(member.data.path)
        assert member.data.domain is None or all("domain" in r for r in rows[name])
        assert (member.data.split_file is None) == (name == "words")
    # An entity ends where another type or another beginning follows.
    entities = [(row["text_pair"], row["label"]) for row in rows["types"]]
    assert entities == [("a b", "PER"), ("c", "PER"), ("e", "ORG")]
    levels = ["very negative", "negative", "positive", "very positive"]
    assert [row["label"] for row in rows["levels"]] == levels


def test_entailment_may_be_of_two_classes_and_separable_domains(prepare, tmp_path):
    data = save_sources(tmp_path / "data", "Nothing of what it learns from")
    prepare.prepare(data, tmp_path / "out", separable=True)
    folder = tmp_path / "out" / "entailment"
    [row] = worlds.read_jsonl(folder / "examples.jsonl")
    assert row["label"] == "not_entailment"
    splits = json.loads((folder / "splits.json").read_text())
    assert set(splits["train"]) < set(prepare.SPLITS["entailment"]["train"])


@pytest.mark.parametrize("tested", ["one TWO, three four - five!", "a b c d e f"])
def test_a_text_that_is_tested_on_is_refused(prepare, tested, tmp_path):
    data = save_sources(tmp_path / "data", tested)
    with pytest.raises(ValueError, match=r"1 texts of \w+ are LEOPARD's"):
        prepare.prepare(data, tmp_path / "out")


def test_encoders_are_compared_on_the_same_draws(tmp_path, monkeypatch, capsys):
    script = scripts.load("leopard", "compare")
    texts = {}
    for row in worlds.records(count=12):
        texts.setdefault(row["label"], []).append(row["text"])
    monkeypatch.setattr(script.heads, "data_sets", lambda folder: [("topics", texts)])
    monkeypatch.setattr(script.common, "data_folder", lambda: tmp_path)
    out = tmp_path / "compare.json"
    with worlds.apart(tmp_path):
        bert = str(worlds.save_bert(tmp_path / "bert"))
        options = ["--shots", "2", "--draws", "2", "--out", str(out)]
        argv = ["compare.py", "--model", bert, "--start", bert, *options]
        monkeypatch.setattr(sys, "argv", argv)
        assert script.main() == 0
        first = json.loads(out.read_text())
        assert script.main() == 0  # Nothing is measured again.
        assert json.loads(out.read_text()) == first
        printed = capsys.readouterr().out
        other = str(worlds.save_bert(tmp_path / "more" / "bert", seed=1))
        monkeypatch.setattr(sys, "argv", [*argv, "--model", other])
        assert script.main() == 2
    assert "was computed from other model; name" in capsys.readouterr().err
    assert json.loads(out.read_text()) == first
    scores = first["topics, 2"]
    assert scores["frozen, auto"]["accuracy"] == scores["recipe, auto"]["accuracy"]
    # The same encoder gains nothing.
    assert "| +0.0 ± 0.0 |" in printed
