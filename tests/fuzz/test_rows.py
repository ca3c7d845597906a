"""Fuzzing of labelled texts and of texts to predict."""

import json

import hypothesis.strategies as st
import pytest

from metaflax import config as config_lib
from metaflax import data
from metaflax.data.sources._input_texts import read_texts
from tests.fuzz.damage import (
    SIZES,
    as_json,
    changed,
    damaged,
    files_like,
    inputs,
    read_or_refused,
)

pytestmark = pytest.mark.thorough

ROWS = [
    {"text": "it barks", "label": "dog", "from": "mail", "id": 7, "others": ["yap"]},
    {"text": "él ronronea", "label": "cat", "from": "web", "id": "x", "others": []},
]
ROLES = {"domain": "from", "id": "id", "variants": "others"}
CSV = 'text,label,from,id\n"it ""barks"", loudly",dog,mail,7\nél ronronea,cat,web,8\n'

# A valid row of every task type.
ROW_OF = {
    "classification": {"text": "it barks", "label": "dog"},
    "multilabel_classification": {"text": "it barks", "label": ["dog", "loud"]},
    "pair_classification": {"text": "a", "text_pair": "b", "label": "same"},
    "regression": {"text": "a b", "label": 2.5},
    "entities": {"tokens": ["In", "São", "Paulo"], "label": ["O", "B-city", "I-city"]},
    "relations": {
        "tokens": ["Ada", "of", "London"],
        "head": [0, 1],
        "tail": {"spans": [[2, 3]]},
        "label": "from",
    },
    "question_answering": {
        "question": "Who?",
        "context": "Ada wrote it.",
        "answers": [{"text": "Ada", "start": 0}],
    },
    "translation": {"text": "Hund", "target": "dog", "label": "de"},
    "summarization": {"text": "A long story.", "target": "story", "label": "news"},
    "dialogue": {"text": ["Hello!", "Hi."], "target": "How are you?", "label": "hi"},
    "language_modelling": {"text": "Once", "target": "upon", "label": "tale"},
}


def lines(rows):
    return "".join(f"{as_json(row)}\n" for row in rows)


def check_examples(examples):
    """Checks examples: texts with words and names, encodable as UTF-8."""
    if examples is None:
        return
    assert len(examples) == len(examples.labels) > 0
    for column in (examples.domains, examples.ids, *examples.labels):
        for name in column or ():
            assert name.strip()
            name.encode("utf-8")
    for text in examples.texts:
        json.dumps(text, ensure_ascii=False).encode("utf-8")


@SIZES
@pytest.mark.parametrize(
    ("suffix", "content", "roles"),
    [
        ("jsonl", lines(ROWS), ROLES),
        ("csv", CSV, {"domain": "from", "id": "id"}),
        ("tsv", CSV.replace(",", "\t"), {"domain": "from", "id": "id"}),
    ],
    ids=["jsonl", "csv", "tsv"],
)
def test_damaged_text_files_are_read_or_refused(
    suffix, content, roles, thousands, tmp_path
):
    path = tmp_path / f"pets.{suffix}"

    @inputs(150, thousands, damage=files_like(content.encode()))
    def check(damage):
        path.write_bytes(damage)
        check_examples(read_or_refused(lambda p: data.read(p, **roles), path))
        read_or_refused(lambda p: list(read_texts(p)), path)


def test_the_files_that_are_damaged_are_good(tmp_path):
    for name, row in ROW_OF.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text(lines([row]))
        assert len(data.read(path, task=task_of(name))) == 1


def task_of(name):
    pooling = "tokens" if name in ("entities", "question_answering") else "mean"
    config = config_lib.Config(
        model=config_lib.ModelConfig(pooling=pooling),
        data=config_lib.DataConfig(task=name),
    )
    return config_lib.build_task(config)


@SIZES
@pytest.mark.parametrize("name", list(ROW_OF))
def test_odd_values_are_read_or_refused_by_every_task_type(name, thousands, tmp_path):
    path, task = tmp_path / "rows.jsonl", task_of(name)

    @inputs(60, thousands, row=changed(ROW_OF[name]))
    def check(row):
        path.write_text(lines([row]))
        read = read_or_refused(lambda p: data.read(p, task=task), path)
        check_examples(read)
        for text in () if read is None else read.texts:
            json.dumps(task.form.row(text))


@SIZES
def test_damaged_parquet_is_read_or_refused(thousands, tmp_path):
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "pets.parquet"
    columns = {name: [str(row[name]) for row in ROWS] for name in ROWS[0]}
    columns["others"] = [row["others"] for row in ROWS]
    datasets.Dataset.from_dict(columns).to_parquet(path)
    content = path.read_bytes()
    check_examples(data.read(path, **ROLES))

    @inputs(250, thousands, damage=st.one_of(damaged(content), st.binary(max_size=99)))
    def check(damage):
        path.write_bytes(damage)
        read_or_refused(lambda p: data.read(p, **ROLES), path)
        read_or_refused(lambda p: list(read_texts(p)), path)


@SIZES
@pytest.mark.parametrize("format", ["lines", "jsonl", "csv", "tsv"])
def test_damaged_texts_to_predict_are_read_or_refused(format, thousands, tmp_path):
    content = {
        "lines": "it barks\nél ronronea\r\n\n".encode(),
        "jsonl": lines(ROWS).encode(),
        "csv": CSV.encode(),
        "tsv": CSV.replace(",", "\t").encode(),
    }[format]
    path = tmp_path / "texts"

    @inputs(80, thousands, damage=files_like(content))
    def check(damage):
        path.write_bytes(damage)
        texts = read_or_refused(lambda p: list(read_texts(p, format=format)), path)
        for text in texts or ():
            assert text.strip()
            text.encode("utf-8")


@SIZES
def test_damaged_published_sets_are_read_or_refused(thousands, tmp_path):
    sets = [
        {"text": f"{name} {n}", "label": name, "id": f"pets-2-0-{n}"}
        for name in ("dog", "cat")
        for n in range(2)
    ]

    @inputs(60, thousands, sets=changed(sets), queries=changed(sets))
    def check(sets, queries):
        (tmp_path / "train_episodes.jsonl").write_text(lines(sets))
        (tmp_path / "eval.jsonl").write_text(lines(queries))
        # The message names the invalid file in the folder.
        read_or_refused(data.published_sets, tmp_path)
