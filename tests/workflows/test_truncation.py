"""Tests of reports of truncated texts, and of windows."""

import csv
import io
import itertools
import json

import numpy as np
import pytest

import metaflax
from metaflax import cli, config, data, metrics, tasks, workflows
from metaflax.tasks._mentions import Mention
from metaflax.tasks._pairs import Pair
from metaflax.tasks._questions import Question
from metaflax.tasks._sentences import Sentence
from metaflax.tasks._words import word_spans
from tests.workflows import worlds
from tests.workflows.test_understanding import (
    entity_rows,
    pair_rows,
    question_rows,
    relation_rows,
)

FILLER = " ".join(worlds.FILLER)
LONG = " ".join([FILLER] * 10)  # 80 tokens of a model of 48, special ones included.
# By task type: rows to adapt to, pooling, columns, and inputs, of which only the first
# is too long.
KINDS = {
    "classification": (worlds.records, "mean", {}, [LONG, FILLER]),
    "multilabel_classification": (worlds.records, "mean", {}, [LONG, FILLER]),
    "pair_classification": (
        pair_rows,
        "mean",
        {},
        [Pair(FILLER, LONG), Pair(FILLER, FILLER)],
    ),
    "regression": (
        lambda: [{"text": FILLER, "label": 1}, {"text": "topic00", "label": 2}],
        "mean",
        {},
        [Pair(LONG, FILLER), FILLER],
    ),
    "entities": (
        entity_rows,
        "tokens",
        {"label": "tags"},
        [Sentence(text, word_spans(text)) for text in (LONG, FILLER)],
    ),
    "relations": (
        relation_rows,
        "entities",
        {},
        [Mention(text, (0, 8), (9, 17)) for text in (LONG, FILLER)],
    ),
    "question_answering": (
        question_rows,
        "tokens",
        {},
        # The context is read whole, in windows; a question is truncated.
        [Question(LONG, FILLER), Question(FILLER, LONG)],
    ),
}


def adapt_to(tmp_path, world, kind, silent):
    rows, pooling, columns, _ = KINDS[kind]
    model = world.model
    if kind == "relations":
        model = worlds.save_bert(
            tmp_path / "bert", vocabulary=(*worlds.VOCABULARY, *worlds.MARKERS)
        )
    kept = [*rows()[:2], *rows()[-2:]]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", kept)
    algorithm = "ridge" if kind == "regression" else "frozen"
    algorithm = "fine_tuning" if kind == "question_answering" else algorithm
    settings = config.Config(
        model=config.ModelConfig(str(model), pooling),
        data=config.DataConfig(task=kind, max_length=worlds.POSITIONS, **columns),
        algorithm=config.AlgorithmConfig(name=algorithm),
    )
    return workflows.adapt(support, tmp_path / "out", silent, config=settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_type_tells_what_it_read_of_a_long_text(
    kind, world, tmp_path, silent
):
    predictor = metaflax.load(adapt_to(tmp_path, world, kind, silent))
    assert not predictor.notes()
    long, short = predictor(KINDS[kind][-1])
    assert short["truncated"] is None
    cut = long["truncated"]
    assert 0 < cut["tokens_read"] < cut["tokens_total"]
    if kind != "question_answering":
        assert cut["tokens_read"] == worlds.POSITIONS
    assert cut["tokens_total"] >= 80
    [note] = [note for note in predictor.notes() if "truncated" in note]
    assert note.startswith("1 of 2 texts")


@pytest.mark.parametrize("family", ["gpt", "seq2seq"])
def test_generative_models_tell_what_they_read_of_a_long_text(family, tmp_path):
    sizes = {"width": 8, "heads": 2, "layers": 1, "positions": 48, "dropout": 0.0}
    model = workflows.new_language_model(
        tmp_path / "model", [LONG, FILLER], family=family, vocab_size=340, **sizes
    )
    predictor = metaflax.load(model, max_new=1)
    long, short = predictor([LONG, "f"])
    assert short["truncated"] is None
    assert long["truncated"]["tokens_read"] < long["truncated"]["tokens_total"]
    assert predictor.notes()[0].startswith("1 of 2 texts")


def test_the_command_counts_truncated_texts_on_standard_error(
    adapted, tmp_path, capsys
):
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{FILLER}\n{LONG}\n")
    args = ("predict", "--model", adapted, "--texts", texts)
    worlds.run(*args)
    shown = capsys.readouterr()
    rows = [json.loads(line)["truncated"] for line in shown.out.splitlines()]
    assert rows == [None, {"tokens_read": worlds.POSITIONS, "tokens_total": 82}]
    assert "1 of 2 texts were truncated to 48 tokens" in shown.err
    worlds.run(*args, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["truncated_tokens_total"] for row in rows] == ["", "82"]


@pytest.mark.parametrize("windows", ["mean", "max"])
def test_windows_combine_the_logits_of_all_parts_of_a_text(windows, adapted):
    text = f"{LONG} topic01"
    predictor = metaflax.load(adapted, windows=windows)
    tokens = predictor.tokenize([FILLER, text])
    logits = predictor._outputs(tokens)
    assert tokens.owners.tolist() == [0, *[1] * (len(logits) - 1)]
    reduced = getattr(np, windows)(logits[1:], axis=0)
    expected = metrics.softened(reduced, predictor.temperature)
    short, long = predictor([FILLER, text])
    np.testing.assert_allclose(
        list(long["probabilities"].values()), expected, atol=1e-5
    )
    assert (short["windows"], long["windows"]) == (1, len(logits) - 1)
    assert long["truncated"] is None
    assert not predictor.notes()
    # A text that fits has the same prediction without windows.
    plain = workflows.Predictor(adapted)([FILLER])[0]["probabilities"]
    np.testing.assert_allclose(
        list(short["probabilities"].values()), list(plain.values()), atol=1e-5
    )


@pytest.mark.parametrize("length", [4, 5, 7, 48])
def test_windows_hold_every_token_and_overlap_by_half(length, adapted):
    tokenizer = workflows.Predictor(adapted).tokenizer
    texts = [FILLER, " ".join(worlds.TOPICS), LONG]
    whole = data.tokenize(tokenizer, texts, max_length=48, on_long="truncate")
    form = tasks.TEXT.in_windows()
    tokens = data.tokenize(tokenizer, texts, max_length=length, form=form)
    room = length - 2
    for number in range(2):
        rows = [tokens[r][1:-1] for r in tokens.rows_of(np.array([number]))]
        read = list(rows[0])
        for before, row in itertools.pairwise(rows):
            overlap = room // 2
            assert before[-overlap:].tolist() == row[:overlap].tolist()
            read += list(row[overlap:])
        assert read == whole[number][1:-1].tolist()


@pytest.mark.parametrize("kind", ["pair_classification", "regression", "entities"])
def test_windows_are_refused_where_they_mean_nothing(
    kind, world, tmp_path, silent, capsys
):
    model = adapt_to(tmp_path, world, kind, silent)
    args = ["predict", "--model", model, "--windows", "max"]
    assert cli.main([str(arg) for arg in args]) == 2
    assert "windows" in capsys.readouterr().err
    with pytest.raises(ValueError, match="windows is 'sum'; it is mean or max"):
        metaflax.load(model, windows="sum")
