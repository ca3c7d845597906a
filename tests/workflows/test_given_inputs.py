"""Tests that predictors convert inputs in various forms."""

import pytest

import metaflax
from metaflax import tasks, workflows
from metaflax.workflows.inference._given_inputs import inputs_of
from tests.workflows import worlds

PAIR = tasks.pair_classification().form
MENTION = tasks.relations().form
SENTENCE = tasks.entities().form
RELATION = {"text": "Fay was born in Oslo", "head": [0, 3], "tail": [16, 20]}


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (tasks.TEXT, ["it rains", {"text": "it rains"}]),
        (
            PAIR,
            [
                tasks.Pair("a", "b"),
                ("a", "b"),
                ["a", "b"],
                {"text": "a", "text_pair": "b"},
            ],
        ),
        (MENTION, [RELATION, tuple(RELATION.values())]),
        (SENTENCE, ["Zoe went", {"text": "Zoe went"}]),
        (tasks.TURNS, ["hello", {"text": "hello"}, {"text": ["hello"]}]),
    ],
)
def test_values_of_all_kinds_are_the_same_input(form, values):
    first, *others = inputs_of(form, values)
    assert others == [first] * len(others)
    assert form.read(tasks.Fields(form.row(first), "")) == first
    assert inputs_of(form, [first]) == [first]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        *((PAIR, "a b"), (PAIR, ("a", "b", "c")), (MENTION, "Fay"), (SENTENCE, 3)),
        *((tasks.TEXT, 3), (tasks.TEXT, None)),
    ],
)
def test_others_are_refused_with_their_columns(form, value):
    columns = " and ".join(form.required)
    with pytest.raises(ValueError, match=rf"texts\[1\] is .* has {columns}; give a"):
        inputs_of(form, [form.row(good(form)), value])
    with pytest.raises(ValueError, match=r"texts\[0\]"):
        inputs_of(form, [{}])


@pytest.mark.parametrize("value", ["it rains", {"text": "it rains"}, None, 3])
def test_one_input_is_no_list_of_them(value):
    with pytest.raises(ValueError, match="is no list of inputs; put each in a list"):
        inputs_of(tasks.TEXT, value)


def good(form):
    row = RELATION | {"text_pair": "b"}
    return form.read(tasks.Fields(row, ""))


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "gpt"
    texts = ["topic00 filler00 Text: Label: \n"]
    sizes = {"vocab_size": 300, "width": 8, "layers": 1, "heads": 2}
    return workflows.new_language_model(path, texts, family="gpt", **sizes)


@pytest.fixture(params=["predictor", "explainer", "generator", "chooser"])
def load(request, adapted, gpt, tmp_path):
    """A function from a batch size to a predictor of texts."""
    if request.param in ("predictor", "explainer"):
        explain = request.param == "explainer"
        return lambda size: metaflax.load(adapted, size, explain=explain)
    if request.param == "generator":
        return lambda size: metaflax.load(gpt, size, max_new=1)
    rows = worlds.records(worlds.TOPICS[:2], 1)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    given = {"algorithm": "in_context", "model": gpt, "support": support}
    paths = {"out": tmp_path / "model", "max_length": 40}
    worlds.run("adapt", *worlds.arguments(given | paths))
    return lambda size: metaflax.load(tmp_path / "model", size)


def test_all_predictors_take_any_number_of_texts_or_rows(load):
    texts = ["topic00 filler01", "topic01", "filler02 " * 200]
    predictor = load(2)
    records = predictor(texts)
    assert [record["text"] for record in records] == texts
    assert [record["truncated"] is None for record in records] == [True, True, False]
    assert predictor.notes()[0].startswith("1 of 3 texts were truncated")
    rows = predictor([{"text": text} for text in texts])
    # Batches of another size may round differently.
    whole = [key(record) for record in load(8)(texts)]
    assert whole == [key(record) for record in records] == [key(row) for row in rows]
    assert predictor([]) == []
    with pytest.raises(ValueError, match=r"texts\[1\] is 3, and an input has text"):
        predictor(["topic00", 3])


def key(record):
    return record["text"], record.get("label"), record.get("generated")


def test_a_predictor_of_pairs_takes_tuples(tiny_bert, tmp_path):
    rows = [
        {"text": f"topic0{n}", "text_pair": "filler00", "label": "ab"[n % 2]}
        for n in range(4)
    ]
    support = worlds.write_jsonl(tmp_path / "pairs.jsonl", rows)
    options = ("--task", "pair_classification", "--pair-encoding", "two_towers")
    out = tmp_path / "out"
    worlds.run(
        "adapt", "--support", support, "--model", tiny_bert, *options, "--out", out
    )
    predictor = workflows.Predictor(out)
    [record] = predictor([("topic00", "filler00")])
    assert predictor([tasks.Pair("topic00", "filler00")]) == [record]
    with pytest.raises(ValueError, match="text and text_pair"):
        predictor(["topic00"])
