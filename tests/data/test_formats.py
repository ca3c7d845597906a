"""Tests that all file formats give the same rows and notes."""

import bz2
import codecs
import gzip
import json
import lzma

import pytest

from metaflax import data, tasks
from metaflax.data.sources._input_texts import read_texts
from metaflax.tasks._entity_spans import Entity

ROWS = [
    {"text": "it barks, lóud", "label": "dog"},
    {"text": "it purrs\nand naps", "label": "cat"},
]
CSV = 'text,label\n"it barks, lóud",dog\n"it purrs\nand naps",cat\n'
SEMICOLONS = 'text;label\nit barks, lóud;dog\n"it purrs\nand naps";cat\n'
CONTENTS = {
    "rows.jsonl": "\n".join(map(json.dumps, ROWS)),
    "lines.json": "\n".join(map(json.dumps, ROWS)),
    "array.json": json.dumps(ROWS),
    "indented.json": json.dumps(ROWS, indent=2),
    "object.json": json.dumps({"version": "1.0", "data": ROWS}),
    "indented_object.json": json.dumps({"version": 1, "data": ROWS}, indent=2),
    "commas.csv": CSV,
    "semicolons.csv": SEMICOLONS,
    "tabs.csv": SEMICOLONS.replace(";", "\t"),
    "bars.csv": SEMICOLONS.replace(";", "|"),
    "blank.csv": "\n\n" + CSV,
    "tabs.tsv": SEMICOLONS.replace(";", "\t"),
}
SPACES = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode(encoding)
    )
    return path


def rows_of(source, **options):
    return [row for _, row in data.read_rows(source, **options)]


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("suffix", ["", *SPACES])
def test_every_format_gives_the_same_rows_compressed_or_not(name, suffix, tmp_path):
    content = CONTENTS[name].encode()
    path = write(tmp_path, name + suffix, SPACES.get(suffix, bytes)(content))
    assert rows_of(path) == ROWS
    assert list(read_texts(path)) == [row["text"] for row in ROWS]


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(name, encoding, tmp_path):
    path = write(tmp_path, name, CONTENTS[name], encoding)
    assert rows_of(path) == ROWS
    assert list(read_texts(path)) == [row["text"] for row in ROWS]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-8"])
def test_an_encoding_may_be_given(encoding, tmp_path):
    path = write(tmp_path, "rows.csv", CSV, encoding)
    assert rows_of(path, encoding=encoding) == ROWS
    assert data.read(path, encoding=encoding).texts[0] == ROWS[0]["text"]
    index = data.index_labels(path, encoding=encoding, cache_dir=tmp_path)
    assert index.text(0) == ROWS[0]["text"]


def test_bytes_in_another_encoding_are_refused_by_their_line(tmp_path):
    path = write(tmp_path, "rows.csv", CSV, "latin-1")
    with pytest.raises(ValueError, match=r"rows\.csv:2: not UTF-8.*such as latin-1"):
        rows_of(path)
    with pytest.raises(ValueError, match=r"rows\.csv:2: not ascii"):
        rows_of(path, encoding="ascii")
    cut = write(
        tmp_path, "cut.csv", codecs.BOM_UTF16_LE + "text\na".encode("utf-16-le")[:-1]
    )
    with pytest.raises(ValueError, match=r"cut\.csv:2: not utf-16"):
        rows_of(cut)
    with pytest.raises(ValueError, match="unknown encoding 'utf-9'"):
        rows_of(path, encoding="utf-9")


@pytest.mark.parametrize("suffix", SPACES)
def test_damaged_compression_is_one_sentence(suffix, tmp_path):
    whole = SPACES[suffix](CSV.encode() * 20)
    for content in (b"no", whole[:-12]):
        path = write(tmp_path, f"rows.csv{suffix}", content)
        with pytest.raises(ValueError, match="cannot be decompressed"):
            rows_of(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}, 3]', r"row 2: a JSON int where an object"),
        ("[[1, 2]]", "row 1: a JSON list where an object"),
        ('[{"text": "a"},', "not JSON"),
        ('{"text": \n "a"', "not JSON"),
        ('[{"text": "a", "text": "b"}]', "'text' more than once"),
    ],
)
def test_malformed_json_is_named(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        rows_of(write(tmp_path, "e.json", content))


def test_the_list_of_an_object_is_named(tmp_path):
    path = write(tmp_path, "o.json", CONTENTS["object.json"])
    assert data.read(path).notes == (f"{path}: rows are those of the list 'data'.",)
    single = write(tmp_path, "one.json", '{"text": "a", "label": "b"}')
    assert rows_of(single) == [{"text": "a", "label": "b"}]


def test_a_field_of_megabytes_is_read(tmp_path):
    long = "word " * 500_000
    path = write(tmp_path, "long.csv", f'text,label\n"{long}",a\n')
    assert rows_of(path) == [{"text": long, "label": "a"}]


def test_repeated_headers_are_left_out_and_counted(tmp_path):
    path = write(tmp_path, "joined.csv", CSV + CSV + "text,label\n")
    examples = data.read(path)
    assert examples.texts == tuple(row["text"] for row in ROWS * 2)
    assert f"{path}: left out 2 lines that repeat the header." in examples.notes
    # In a file of one column it may be a text.
    assert rows_of(write(tmp_path, "one.csv", "text\ntext\n")) == [{"text": "text"}]


def test_a_folder_of_files_is_read_in_order(tmp_path):
    write(tmp_path, "data/b.csv.gz", gzip.compress(CSV.encode()))
    write(tmp_path, "data/a.jsonl", CONTENTS["rows.jsonl"])
    write(tmp_path, "data/README.md", "no data")
    write(tmp_path, "data/.hidden.csv", "no")
    assert rows_of(tmp_path / "data") == ROWS * 2
    assert rows_of(tmp_path / "data", split="b") == ROWS
    with pytest.raises(ValueError, match="no split 'c'; choose one of 'a', 'b'"):
        rows_of(tmp_path / "data", split="c")


def test_a_copy_of_a_data_set_of_the_hub_has_the_splits_of_its_files(tmp_path):
    """Without `datasets`: a folder `data` with several files per split, and a card."""
    write(tmp_path, "pets/README.md", "# Pets\n")
    for number, row in enumerate(ROWS):
        name = f"pets/data/train-0000{number}-of-0000{len(ROWS)}.jsonl"
        write(tmp_path, name, json.dumps(row))
    assert rows_of(tmp_path / "pets") == ROWS
    write(tmp_path, "pets/data/test-00000-of-00001.jsonl", json.dumps(ROWS[0]))
    assert rows_of(tmp_path / "pets", split="train") == ROWS
    assert rows_of(tmp_path / "pets", split="test") == ROWS[:1]
    with pytest.raises(ValueError, match="no split 'x'; choose one of 'test', 'train'"):
        rows_of(tmp_path / "pets", split="x")
    with pytest.raises(ValueError, match="no split is given; choose one of 'test'"):
        rows_of(tmp_path / "pets")


def test_a_folder_for_each_class_holds_texts(tmp_path):
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            write(tmp_path, f"reviews/{split}/{label}/1.txt", f"{split} {label}\n")
    examples = data.read(tmp_path / "reviews", split="test")
    assert (examples.texts, examples.labels) == (
        ("test neg", "test pos"),
        (("neg",), ("pos",)),
    )
    index = data.index_labels(tmp_path / "reviews/test", cache_dir=tmp_path)
    assert sorted(index.labels.names) == ["neg", "pos"]
    (tmp_path / "reviews/test/pos").rename(tmp_path / "reviews/test/new")
    index = data.index_labels(tmp_path / "reviews/test", cache_dir=tmp_path)
    assert sorted(index.labels.names) == ["neg", "new"]


def test_a_folder_without_data_is_refused(tmp_path):
    write(tmp_path, "data/README.md", "no data")
    with pytest.raises(ValueError, match="a folder without data; give one of files"):
        rows_of(tmp_path / "data")


@pytest.mark.parametrize("name", ["array.json", "object.json", "rows.jsonl"])
def test_texts_on_disk_are_those_in_memory(name, tmp_path):
    path = write(tmp_path, name, CONTENTS[name])
    index = data.index_labels(path, cache_dir=tmp_path)
    assert [index.text(row) for row in range(2)] == [row["text"] for row in ROWS]
    assert list(index.labels.names) == ["dog", "cat"]


CONLL = """-DOCSTART- -X- -X- O

# id 7 domain=en
In IN O O
São NNP O B-city
Paulo NNP O I-city

# # # O
Hi UH O O
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", CONLL),
        ("a.bio", "In O\nSão B-city\nPaulo I-city\n\n# O\nHi O"),
        ("a.iob2", "In\tO\r\nSão\tB-city\r\nPaulo\tI-city\r\n\r\n#\tO\r\nHi\tO\r\n"),
    ],
)
def test_columns_of_words_and_tags_are_sentences(name, content, tmp_path):
    path = write(tmp_path, name, content)
    examples = data.read(path, task=tasks.entities())
    assert [text.text for text in examples.texts] == ["In São Paulo", "# Hi"]
    assert examples.targets == ((Entity(3, 12, "city"),), ())
    places = [place for place, _ in data.read_rows(path)]
    assert places[0].startswith(f"{path}:")


def test_columns_of_another_number_are_refused(tmp_path):
    path = write(tmp_path, "a.conll", "In O\nRome\n")
    with pytest.raises(ValueError, match=r"a\.conll:2: 1 columns where 2 are expected"):
        rows_of(path)


def test_pairs_of_spacy_and_widened_entities_are_counted(tmp_path):
    pair = ["iPhone15Pro sold", {"entities": [[0, 6, "product"]]}]
    path = write(tmp_path, "spacy.json", json.dumps([pair, pair]))
    examples = data.read(path, task=tasks.entities())
    assert examples.targets == ((Entity(0, 11, "product"),),) * 2
    notes = [note.partition(": ")[2] for note in examples.notes]
    assert notes[0].startswith("2 rows have their labels in 'entities'")
    assert notes[1].startswith("2 rows have lists that count characters, as spaCy")
    assert notes[2] == (
        "2 entities are widened to whole words, as which they are scored, the first at"
        f" {path}: row 1: 'iPhone' becomes 'iPhone15Pro'."
    )


def test_class_names_beside_numbers_are_read_from_parquet(tmp_path):
    datasets = pytest.importorskip("datasets")
    tags = datasets.ClassLabel(names=["O", "B-city", "I-city"])
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "label": datasets.Sequence(tags),
        }
    )
    rows = {"tokens": [["In", "Rome"]], "label": [[0, 1]]}
    saved = datasets.Dataset.from_dict(rows, features)
    saved.to_parquet(tmp_path / "tags.parquet")
    saved.save_to_disk(tmp_path / "saved")
    for source in ("tags.parquet", "saved"):
        examples = data.read(tmp_path / source, task=tasks.entities())
        assert examples.targets == ((Entity(3, 7, "city"),),)
