"""Tests for reading examples and texts, and for error messages."""

import io
import json
import sys

import hypothesis
import hypothesis.strategies as st
import pytest

from metaflax import data, tasks
from metaflax.data.sources._input_texts import read_texts
from metaflax.tasks._label_names import label_name
from metaflax.tasks._pairs import Pair
from metaflax.tasks._regression import TEXT_OR_PAIR

PETS = data.Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)))


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "pets.jsonl",
            '{"text": "it barks", "label": "dog"}\n\n{"text":"it purrs","label":"cat"}',
        ),
        ("pets.csv", 'text,label\r\nit barks,dog\r\n\r\n"it purrs",cat\r\n'),
        ("pets.tsv", "label\ttext\ndog\tit barks\ncat\tit purrs\n"),
        ("bom.csv", "\ufefftext,label\nit barks,dog\nit purrs,cat\n"),
    ],
)
def test_every_text_format_reads_alike(tmp_path, name, content):
    examples = data.read(write(tmp_path, name, content))
    assert (examples.texts, examples.labels) == (PETS.texts, PETS.labels)


def test_parquet_and_saved_directories_read_alike(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["it barks", "it purrs"], "label": [1, 0], "from": ["a", "b"]}
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "from": datasets.Value("string"),
        }
    )
    saved = datasets.Dataset.from_dict(rows, features)
    saved.save_to_disk(tmp_path / "plain")
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(tmp_path / "splits")
    saved.to_parquet(tmp_path / "pets.parquet")

    for examples in (
        data.read(tmp_path / "plain", domain="from"),
        data.read(tmp_path / "splits", split="test", domain="from"),
    ):
        assert (examples.texts, examples.labels) == (PETS.texts, PETS.labels)
        assert examples.domains == ("a", "b")
    assert data.read(tmp_path / "pets.parquet").labels == PETS.labels
    assert list(read_texts(tmp_path / "pets.parquet")) == list(PETS.texts)

    with pytest.raises(ValueError, match="no split is given; choose one of 'train'"):
        data.read(tmp_path / "splits")
    with pytest.raises(ValueError, match="no split 'dev'"):
        data.read(tmp_path / "splits", split="dev")
    with pytest.raises(ValueError, match="without splits"):
        data.read(tmp_path / "plain", split="test")


def test_labels_may_be_names_numbers_or_lists(tmp_path):
    rows = [["b", "a", "b"], 3, True, "a|b"]
    lines = "\n".join(json.dumps({"text": "t", "label": row}) for row in rows)
    path = write(tmp_path, "many.jsonl", lines)
    assert data.read(path).labels == (("b", "a"), ("3",), ("true",), ("a|b",))
    split = data.read(path, label_separator="|")
    assert split.labels[-1] == ("a", "b")
    assert split.label_names == ("3", "a", "b", "true")
    assert split.is_multi_label


def test_domains_and_ids_come_from_their_columns(tmp_path):
    path = write(tmp_path, "d.csv", "text,label,from,id\nhi,a,mail,7\nho,b,web,8\n")
    examples = data.read(path, domain="from", id="id")
    assert (examples.domains, examples.ids) == (("mail", "web"), ("7", "8"))
    assert examples.domain_names == ("mail", "web")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.jsonl", "", "holds no examples"),
        ("e.csv", "text,label\n", "holds no examples"),
        ("e.jsonl", '{"text": "a", "label": "b"}\n{"text": ', r"e\.jsonl:2: not JSON"),
        ("e.jsonl", "[1]", r"e\.jsonl:1: a JSON list where one object"),
        ("e.jsonl", "[" * 100_000, r"e\.jsonl:1: not JSON"),
        (
            "e.jsonl",
            '{"text": "a", "label": "b", "text": "c"}',
            r"e\.jsonl:1: not JSON \(an object has the name 'text' more than once",
        ),
        ("e.jsonl", '{"txt": "a"}', r"no column 'text'; the columns are 'txt'"),
        ("e.jsonl", '{"text": " ", "label": "b"}', r"jsonl:1: 'text' is an empty text"),
        ("e.jsonl", '{"text": 3, "label": "b"}', "holds 3 where a text is expected"),
        ("e.jsonl", '{"text": "\\ud800", "label": "b"}', "surrogate"),
        ("e.jsonl", '{"text": "a", "label": null}', "'label' is missing"),
        ("e.jsonl", '{"text": "a", "label": NaN}', "'label' is missing"),
        ("e.jsonl", '{"text": "a", "label": []}', "is an empty list"),
        ("e.jsonl", '{"text": "a", "label": {}}', "a name, a number or a list"),
        ("e.csv", "text,label\na,\n", r"e\.csv:2: 'label' is missing"),
        ("e.csv", "text,label\na,b,c\n", r"e\.csv:2: 3 fields where the header has 2"),
        ("e.csv", "text,label,text\na,b,c\n", "names 'text' more than once"),
        ("e.csv", 'text,label\n"a,b\n', r"e\.csv:2: malformed CSV"),
        (
            "e.csv",
            'text,label\na,b\n\n"c,d\ne,f\ng,h\n',
            r"e\.csv:4: malformed CSV \(unexpected end of data, in line 6\); close",
        ),
        ("e.csv", b"text,label\nok,a\ncaf\xe9,b\n", r"e\.csv:3: not UTF-8.*0xe9"),
        ("e.parquet", "no", "not a readable Parquet file"),
        ("e.xlsx", "no", r"'\.xlsx' are not read; use one of \.jsonl"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    tmp_path, name, content, message
):
    with pytest.raises(ValueError, match=message):
        data.read(write(tmp_path, name, content))


def test_a_number_too_large_for_one_is_refused(tmp_path):
    path = write(tmp_path, "e.jsonl", '{"text": "a", "label": 1%s}' % ("0" * 400))
    with pytest.raises(ValueError, match=r"e\.jsonl:1: 'label' holds 10+ where a num"):
        data.read(path, task=tasks.regression())


def test_a_missing_file_and_a_split_of_a_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file; check the path"):
        data.read(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="no such file"):
        data.read("none.csv")
    with pytest.raises(ValueError, match="a file is read whole"):
        data.read(write(tmp_path, "a.csv", "text,label\na,b\n"), split="train")
    with pytest.raises(ValueError, match=r"cannot be opened|no such file"):
        data.read("nul\0.csv")


def test_a_hub_name_is_loaded_and_its_errors_are_one_sentence(monkeypatch):
    datasets = pytest.importorskip("datasets")
    calls = []

    def load(name, config, split):
        calls.append((name, config, split))
        if name == "owner/none":
            raise FileNotFoundError("Dataset 'owner/none' doesn't exist\nTraceback")
        return datasets.Dataset.from_dict({"text": ["hi"], "label": ["a"]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert data.read("owner/pets:small", split="test").texts == ("hi",)
    assert calls == [("owner/pets", "small", "test")]
    with pytest.raises(ValueError, match=r"doesn't exist\); check the name") as caught:
        data.read("owner/none")
    assert "\n" not in str(caught.value)


def test_a_hub_name_without_the_datasets_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="needs the `datasets` package"):
        data.read("owner/pets")


@hypothesis.given(
    content=st.binary(max_size=80)
    | st.text(alphabet='ab,|"\n\r\t{}[]:textlabel01\ufeff', max_size=80).map(
        str.encode
    ),
    suffix=st.sampled_from(["jsonl", "csv", "tsv", "parquet"]),
    head=st.sampled_from([b"", b"text,label\n", b"text\tlabel\n", b"PAR1"]),
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_any_bytes_give_examples_or_a_value_error(
    tmp_path_factory, content, suffix, head
):
    path = write(tmp_path_factory.getbasetemp(), f"any.{suffix}", head + content)
    problem, texts = None, ("",)
    try:
        texts = data.read(path).texts
    except ValueError as error:
        problem = error
    assert all(text.strip() for text in texts) != (problem is not None)
    assert problem is None or (type(problem), str(path) in str(problem)) == (
        ValueError,
        True,
    )


@hypothesis.given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
            st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
        ),
        min_size=1,
        max_size=5,
    )
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_what_is_written_as_jsonl_is_read_back(tmp_path_factory, rows):
    lines = "\n".join(json.dumps({"text": t, "label": name}) for t, name in rows)
    path = write(tmp_path_factory.getbasetemp(), "back.jsonl", lines)
    examples = data.read(path)
    assert examples.texts == tuple(text for text, _ in rows)
    assert examples.labels == tuple((label_name(name),) for _, name in rows)


def test_texts_to_predict_come_from_lines_columns_and_streams(tmp_path):
    texts = ["it barks", "it purrs"]
    lines = write(tmp_path, "t.txt", "it barks\r\nit purrs\n\n")
    assert list(read_texts(lines)) == texts
    csv = "n,said\n1,it barks\n2,it purrs\n"
    assert list(read_texts(write(tmp_path, "t.csv", csv), column="said")) == texts
    jsonl = '{"text": "it barks"}\n{"text": "it purrs"}\n'
    assert list(read_texts(io.StringIO(jsonl), format="jsonl")) == texts
    assert list(read_texts(io.BytesIO(b"it barks\nit purrs"))) == texts


def test_texts_are_read_lazily():
    def endless():
        while True:
            yield "again\n"

    assert next(read_texts(endless())) == "again"


@pytest.mark.parametrize(
    ("stream", "options", "message"),
    [
        (io.StringIO("a\n\nb\n"), {}, ":2: the line is blank"),
        (io.BytesIO(b"a\n\xff\n"), {}, ":2: not UTF-8"),
        (io.StringIO("a\n"), {"format": "xml"}, "the known ones are lines, jsonl"),
        (io.StringIO("text\n \n"), {"format": "csv"}, "empty text"),
        (io.StringIO("txt\na\n"), {"format": "csv"}, "no column 'text'"),
    ],
)
def test_texts_that_cannot_be_read_are_named(stream, options, message):
    with pytest.raises(ValueError, match=message):
        list(read_texts(stream, **options))


def test_columns_of_other_lengths_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match="1 texts but 2 labels"):
        data.Examples("x", ("a",), (("l",), ("m",)))
    with pytest.raises(ValueError, match="at least one name"):
        data.Examples("x", ("a",), ((),))
    with pytest.raises(ValueError, match="at least one name"):
        data.Examples("x", ("a",), ("label",))  # pyright: ignore[reportArgumentType]


def test_domains_by_label_are_complete_and_agree():
    with pytest.raises(ValueError, match="no domain is given for 'dog'"):
        PETS.with_domains({"cat": "feline"})
    both = data.Examples("both", ("a",), (("cat", "dog"),))
    with pytest.raises(ValueError, match="'canine', 'feline'; a text belongs to one"):
        both.with_domains({"cat": "feline", "dog": "canine"})


def test_clinc150_reads_whole(shared_data):
    examples = data.read(shared_data / "clinc150" / "examples.jsonl", id="id")
    assert (len(examples), len(examples.label_names)) == (22_500, 150)


def test_a_pattern_reads_its_files_in_order_and_names_them_in_errors(tmp_path):
    write(tmp_path, "b.jsonl", '{"text": "it purrs", "label": "cat"}\n')
    write(tmp_path, "a.csv", "text,label\nit barks,dog\n")
    examples = data.read(tmp_path / "?.*")
    assert (examples.texts, examples.labels) == (PETS.texts, PETS.labels)
    write(tmp_path, "c.jsonl", '{"text": " ", "label": "cat"}\n')
    with pytest.raises(ValueError, match=r"c\.jsonl:1: 'text' is an empty text"):
        data.read(tmp_path / "*")
    with pytest.raises(ValueError, match="no file matches this pattern"):
        data.read(tmp_path / "*.tsv")


def test_a_task_type_says_what_is_read_of_a_row(tmp_path):
    row = {"question": "why", "review": "so", "stars": 4, "from": "shop"}
    path = write(tmp_path, "a.jsonl", json.dumps(row) + "\n")
    columns = {"text": "question", "text_pair": "review", "label": "stars"}
    numbers = data.read(path, task=tasks.regression(), domain="from", **columns)
    assert numbers.texts == (Pair("why", "so"),)
    assert (numbers.labels, numbers.targets) == (((),), (4.0,))
    assert numbers.domains == ("shop",)
    pairs = data.read(path, task=tasks.pair_classification(), **columns)
    assert (pairs.texts, pairs.labels) == (numbers.texts, (("4",),))
    assert pairs.targets is None
    columns = {"column": "question", "column_pair": "review"}
    texts = list(read_texts(path, form=tasks.PAIR, **columns))
    assert texts == [Pair("why", "so")]


def test_lines_are_texts_only_where_a_text_is_all_there_is_to_read():
    lines = io.StringIO("it barks\n")
    assert list(read_texts(lines, form=TEXT_OR_PAIR)) == ["it barks"]
    with pytest.raises(
        ValueError, match="the inputs of this model are text and text_pair"
    ):
        list(read_texts(io.StringIO("it barks\n"), form=tasks.PAIR))


def variants_file(tmp_path, *variants):
    rows = [
        {"text": f"text {n}", "label": "l", **({} if v is None else {"others": v})}
        for n, v in enumerate(variants)
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_variants_are_lists_of_texts_that_may_be_empty(tmp_path):
    path = variants_file(tmp_path, ["a", "b"], [])
    found = data.read(path, variants="others")
    assert found.variants == (("a", "b"), ())
    assert data.read(path).variants is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "data.jsonl:2: no column 'others'"),
        ("b", "data.jsonl:2: 'others' holds 'b' where a list of texts is expected"),
        ([" "], "data.jsonl:2: 'others' is an empty text"),
        ([3], "data.jsonl:2: 'others' holds 3 where a text is expected"),
    ],
)
def test_malformed_variants_are_named_with_their_line(value, message, tmp_path):
    path = variants_file(tmp_path, ["a"], value)
    with pytest.raises(ValueError, match=message):
        data.read(path, variants="others")


@pytest.mark.parametrize(
    "task",
    [tasks.pair_classification(), tasks.relations(), tasks.translation()],
    ids=["pairs", "relations", "translation"],
)
def test_variants_are_refused_where_a_text_does_not_stand_alone(task, tmp_path):
    with pytest.raises(ValueError, match="variants are alternatives to a single text"):
        data.read(variants_file(tmp_path, ["a"]), task=task, variants="others")
